/** Builders of ClientHello bytes for tests. */

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

/** A length of two bytes, then the content. */
const sized = (content: Buffer): Buffer => Buffer.concat([u16(content.length), content]);

export const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), sized(body)]);

export const serverName = (name: string, nameType = 0): Buffer =>
  extension(0, sized(Buffer.concat([u8(nameType), sized(Buffer.from(name, "latin1"))])));

/** A handshake message; without a name it has no server_name extension. */
export function clientHello(name?: string, extensions: readonly Buffer[] = []): Buffer {
  const all = [
    extension(0x2b, Buffer.from([2, 3, 4])),
    ...extensions,
    ...(name === undefined ? [] : [serverName(name)]),
  ];
  return handshake(Buffer.concat([...upToExtensions, sized(Buffer.concat(all))]));
}

/** Version, random, session id, cipher suites, compression methods. */
export const upToExtensions: readonly Buffer[] = [
  u16(0x0303),
  Buffer.alloc(32, 7),
  u8(32),
  Buffer.alloc(32, 9),
  sized(Buffer.from([0x13, 0x01])),
  u8(1),
  u8(0),
];

export function handshake(body: Buffer, type = 1): Buffer {
  return Buffer.concat([u8(type), u8(body.length >> 16), u16(body.length & 0xffff), body]);
}

/** As TLS records of at most `size` bytes each. */
export function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < message.length; offset += size) {
    const content = message.subarray(offset, offset + size);
    parts.push(Buffer.from([0x16, 3, 1]), sized(content));
  }
  return Buffer.concat(parts);
}
