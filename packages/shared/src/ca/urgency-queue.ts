export type Urgency = "demand" | "warm" | "background";

const ORDER: readonly Urgency[] = ["demand", "warm", "background"];

/** A queue of distinct items, first the most urgent, among equals the first added. All operations are O(1). */
export class UrgencyQueue<Item> {
  readonly #lanes: Readonly<Record<Urgency, Set<Item>>> = { demand: new Set(), warm: new Set(), background: new Set() };

  /** Adds an item, or makes it more urgent; never less. */
  add(item: Item, urgency: Urgency): void {
    const current = this.#urgencyOf(item);
    if (current !== undefined && ORDER.indexOf(current) <= ORDER.indexOf(urgency)) return;
    if (current !== undefined) this.#lanes[current].delete(item);
    this.#lanes[urgency].add(item);
  }

  has(item: Item): boolean {
    return this.#urgencyOf(item) !== undefined;
  }

  remove(item: Item): void {
    for (const urgency of ORDER) this.#lanes[urgency].delete(item);
  }

  take(): Item | undefined {
    for (const urgency of ORDER) {
      for (const item of this.#lanes[urgency]) {
        this.#lanes[urgency].delete(item);
        return item;
      }
    }
    return undefined;
  }

  clear(): void {
    for (const urgency of ORDER) this.#lanes[urgency].clear();
  }

  #urgencyOf(item: Item): Urgency | undefined {
    return ORDER.find((urgency) => this.#lanes[urgency].has(item));
  }
}
