/** A serial number as we compare it: lower-case hex without leading zeros, whatever tool printed it. */
export function normalizeSerial(hex: string): string {
  const digits = hex.toLowerCase().replace(/^0+/, "");
  return digits === "" ? "0" : digits;
}
