import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { evaluateCel, MAX_CEL_LENGTH, parseCel } from "./index.ts";

const FACTS: Readonly<Record<string, string | number | boolean>> = {
  "request.method": "GET",
  "request.url_path": "/items/1",
  "request.headers[x-user]": "ann",
  "response.code": 404,
  "connection.mtls": true,
};

function evaluated(text: string) {
  const cel = parseCel(text);
  if (!cel.ok) throw new Error(cel.error);
  return evaluateCel(cel.value, (name, key) => FACTS[key === undefined ? name : `${name}[${key}]`]);
}

describe("parseCel and evaluateCel", () => {
  it.each<[string, string | number | boolean | undefined]>([
    ["response.code >= 400", true],
    ["response.code >= 400 && response.code < 404", false],
    ["response.code == 404 || response.code > 500", true],
    ["!(response.code == 404)", false],
    ["response.code in [200, 404]", true],
    ["request.method in ['POST', \"PUT\"]", false],
    ["request.url_path.startsWith('/items') && !request.url_path.endsWith('/2')", true],
    ["request.url_path.contains('em')", true],
    ["request.headers['X-User'] == 'ann'", true],
    ["request.headers.missing == 'ann'", undefined],
    ["has(request.headers['x-user'])", true],
    ["has(request.referer)", false],
    ["'x-user' in request.headers", true],
    ["connection.mtls ? 'yes' : 'no'", "yes"],
    ["request.method + ' ' + string(response.code)", "GET 404"],
    ["int('12') + size('abc') + -1", 14],
    // What is not there: an error, that a decisive other side makes good.
    ["request.referer == 'x'", undefined],
    ["request.referer == 'x' || true", true],
    ["request.referer == 'x' && false", false],
    ["request.referer == 'x' || false", undefined],
    ["request.referer != 'x' ? 1 : 2", undefined],
    ["'\\'\\n' == \"'\\n\"", true],
  ])("%s is %p", (text, wanted) => {
    expect(evaluated(text)).toEqual(wanted);
  });

  it.each<[string, RegExp]>([
    ["", /expected a value, got the end/],
    ["response.code >=", /expected a value/],
    ["response.code >= '4'", /one type, got number and string/],
    ["response.code", /expected bool, got number/],
    ["response.codes == 1", /unknown attribute response.codes/],
    ["filter_state.x == 1", /unknown attribute filter_state.x/],
    ["foo", /unknown attribute foo/],
    ["request.path.matches('a+')", /startsWith, endsWith, contains/],
    ["request.headers == 'x'", /one type/],
    ["[1, 2].all(x, x > 0)", /got "all"/],
    ["true && 1 == 1 ? true : 'x' == 'x' ? true : 'a'", /one type/],
    [`${"(".repeat(40)}true${")".repeat(40)}`, /at most 32/],
    [`${"!".repeat(40)}true`, /at most 32/],
    ["1 ~ 2", /expected an expression/],
    ["true)", /expected the end/],
    [`'${"a".repeat(MAX_CEL_LENGTH)}' == ''`, /at most 1024/],
    ["response.code > true", /one type/],
    ["true > false", /not for bool/],
  ])("does not take %p", (text, problem) => {
    const cel = parseCel(text, "bool");
    expect(cel.ok ? cel : cel.error).toMatch(problem);
  });

  it("is total: any text is read or told why not, and what is read has a value or none", () => {
    const piece = fc.constantFrom(
      "response.code",
      "request.headers['a']",
      "1",
      "'x'",
      "==",
      "&&",
      "||",
      "!",
      "(",
      ")",
      "?",
      ":",
      "in",
      "[",
      "]",
      ",",
      "has",
      "string",
      ".",
      "contains",
      " ",
      "-",
      "+",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
        ),
        (text) => {
          const cel = parseCel(text);
          if (cel.ok) evaluateCel(cel.value, () => undefined);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
