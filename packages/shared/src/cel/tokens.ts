import { err, ok, type Result } from "../errors/index.ts";

export type Token =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "word" | "sign"; readonly value: string }
  | { readonly kind: "end"; readonly value: "" };

const TOKEN =
  /(?<number>\d{1,15}(?:\.\d{1,15})?)|"(?<double>(?:[^"\\\n]|\\["'\\nrt])*)"|'(?<single>(?:[^'\\\n]|\\["'\\nrt])*)'|(?<word>[A-Za-z_]\w*)|(?<sign>&&|\|\||[=!<>]=|[-!<>+?:().,[\]])/y;
const BLANKS = /[ \t\r\n]*/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

const unescaped = (text: string): string => text.replace(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char);

/** Total, linear in the length of the text. */
export function tokensOf(text: string): Result<readonly Token[]> {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    BLANKS.lastIndex = at;
    BLANKS.exec(text);
    at = BLANKS.lastIndex;
    if (at >= text.length) return ok([...tokens, { kind: "end", value: "" }]);
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    if (!groups) return err(`expected an expression, got ${JSON.stringify(text.slice(at, at + 20))}`);
    at = TOKEN.lastIndex;
    const quoted = groups["double"] ?? groups["single"];
    if (groups["number"] !== undefined) tokens.push({ kind: "number", value: Number(groups["number"]) });
    else if (quoted !== undefined) tokens.push({ kind: "string", value: unescaped(quoted) });
    else if (groups["word"] !== undefined) tokens.push({ kind: "word", value: groups["word"] });
    else tokens.push({ kind: "sign", value: groups["sign"] ?? "" });
  }
}
