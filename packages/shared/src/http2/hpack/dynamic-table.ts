/** What an entry costs beyond its text. RFC 7541 section 4.1. */
export const ENTRY_OVERHEAD_BYTES = 32;

/** The decoder's dynamic table: newest entry first, evicting the oldest. RFC 7541 section 2.3.2. */
export class DynamicTable {
  #entries: (readonly [string, string])[] = [];
  #sizeBytes = 0;
  #capacityBytes: number;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get length(): number {
    return this.#entries.length;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** @param index 0 = newest */
  at(index: number): readonly [string, string] | undefined {
    return this.#entries[this.#entries.length - 1 - index];
  }

  /** An entry larger than the table empties it and is not kept. */
  add(name: string, value: string): void {
    const bytes = entryBytes(name, value);
    this.#evictTo(this.#capacityBytes - bytes);
    if (bytes > this.#capacityBytes) return;
    this.#entries.push([name, value]);
    this.#sizeBytes += bytes;
  }

  resize(capacityBytes: number): void {
    this.#capacityBytes = capacityBytes;
    this.#evictTo(capacityBytes);
  }

  #evictTo(bytes: number): void {
    let evicted = 0;
    while (this.#sizeBytes > bytes && evicted < this.#entries.length) {
      const [name, value] = this.#entries[evicted++] as readonly [string, string];
      this.#sizeBytes -= entryBytes(name, value);
    }
    if (evicted > 0) this.#entries.splice(0, evicted);
  }
}

/** Decoded size of a field as SETTINGS_MAX_HEADER_LIST_SIZE and the table count it; texts are latin-1. */
export function entryBytes(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}
