/** A place in a `LiveList`. */
export interface LiveMember<T> {
  /** What is in it; undefined once it has left. */
  readonly value: T | undefined;
  /** To be called when it is over; again does nothing. */
  leave(): void;
}

/**
 * What lives now and is soon over: connections, sessions, requests. In the order they came.
 *
 * A linked list and not a Set or Map: one of those that is filled and emptied all the time leaves its outgrown tables
 * behind, each holding what was in it and the next table. One that was promoted to the old generation keeps all later
 * ones from being found dead by a minor collection, so that everything stayed in memory until the next full one. A member
 * that has left this list holds nothing, and nothing holds it.
 */
export class LiveList<T> {
  readonly #head = new Member<T>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get oldest(): T | undefined {
    return this.#head.next.value;
  }

  add(value: T): LiveMember<T> {
    this.#size++;
    return new Member<T>(value, this.#head, this.#onLeft);
  }

  /** As they are now: leaving or coming meanwhile does not disturb whoever goes through it. */
  members(): LiveMember<T>[] {
    const found: LiveMember<T>[] = [];
    for (let member = this.#head.next; member !== this.#head; member = member.next) found.push(member);
    return found;
  }

  values(): T[] {
    return this.members().map(({ value }) => value as T);
  }

  readonly #onLeft = (): void => {
    this.#size--;
  };
}

class Member<T> implements LiveMember<T> {
  value: T | undefined;
  next: Member<T> = this;
  #previous: Member<T> = this;
  #onLeft: (() => void) | undefined;

  /** Without arguments the head of a list: it is no member, and closes the ring. */
  constructor(value?: T, head?: Member<T>, onLeft?: () => void) {
    this.value = value;
    this.#onLeft = onLeft;
    if (head === undefined) return;
    const last = head.#previous;
    this.next = head;
    this.#previous = last;
    last.next = this;
    head.#previous = this;
  }

  leave(): void {
    const onLeft = this.#onLeft;
    if (onLeft === undefined) return;
    this.#previous.next = this.next;
    this.next.#previous = this.#previous;
    this.next = this;
    this.#previous = this;
    this.value = undefined;
    this.#onLeft = undefined;
    onLeft();
  }
}
