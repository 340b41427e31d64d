import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { createRoot, derToPem, parseCrls, parsePeerCertificate, pemToDer, readCsr, splitPem } from "./index.ts";

const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array));
/** Bytes that pass the outer framing check, so that the decoder itself is reached. */
const framed = fc
  .uint8Array({ minLength: 128, maxLength: 255 })
  .map((a) => Buffer.concat([Buffer.from([0x30, 0x81, a.length]), a]));

describe("parsers of untrusted input", () => {
  it("give a value or an error for any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, framed), async (input) => {
        expect(typeof parsePeerCertificate(input).ok).toBe("boolean");
        expect(typeof parseCrls(input).ok).toBe("boolean");
        expect(typeof (await readCsr(derToPem(input, "CERTIFICATE REQUEST"))).ok).toBe("boolean");
      }),
    );
  });

  it("give a value or an error for a certificate with any few bytes changed", async () => {
    const { certPem } = await createRoot({ organization: "Test", notBefore: 0, notAfter: 1e12 });
    const der = pemToDer(certPem, "CERTIFICATE")[0]!;
    const change = fc.tuple(fc.nat(der.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = Buffer.from(der);
        for (const [at, value] of changes) damaged[at] = value;
        expect(typeof parsePeerCertificate(damaged).ok).toBe("boolean");
      }),
    );
  });

  it("split a PEM bundle into what it was joined from", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (ders) => {
        const blocks = ders.map((der) => derToPem(der, "CERTIFICATE"));
        expect(splitPem(`# roots\n${blocks.join("\n")}`, "CERTIFICATE")).toEqual(blocks);
        expect(pemToDer(blocks.join(""), "CERTIFICATE")).toEqual(ders);
      }),
    );
  });
});
