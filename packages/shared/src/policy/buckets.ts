/** Items by key, several per key; empty keys are forgotten. */
export class Buckets<Key, Item> {
  readonly #items = new Map<Key, Item[]>();

  get isEmpty(): boolean {
    return this.#items.size === 0;
  }

  get(key: Key): readonly Item[] | undefined {
    return this.#items.get(key);
  }

  add(key: Key, item: Item): void {
    const items = this.#items.get(key);
    if (items) items.push(item);
    else this.#items.set(key, [item]);
  }

  /** Removes one copy. */
  remove(key: Key, item: Item): void {
    const items = this.#items.get(key);
    if (!items) return;
    const at = items.indexOf(item);
    const last = items.pop();
    // Order is nobody's business, so the last one fills the hole.
    if (at >= 0 && at < items.length && last !== undefined) items[at] = last;
    else if (at < 0 && last !== undefined) items.push(last);
    if (items.length === 0) this.#items.delete(key);
  }
}
