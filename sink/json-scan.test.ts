import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { topLevelMember, wholeValue } from "./json-scan.ts";
import { jsonbAccepts } from "./jsonb-limits.ts";

const literal = fc.oneof(
  fc.json(),
  fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  fc.constantFrom(
    '"\\u0000"',
    '"\\ud800"',
    '"\\\\u0000"',
    '"\\\\\\u0000"',
    "1e99999",
    "-2.5E-99999",
    `1${"0".repeat(20_000)}`,
  ),
  fc.constantFrom('"\\ud83d\\ude00"', "true", "false", "null", "[]", "{}", "[".repeat(7_000) + "]".repeat(7_000)),
);
const space = fc.constantFrom("", " ", "\n\t");

describe("topLevelMember", () => {
  test("is the bytes between a key and what follows it, the last of repeated ones", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("data", "d\\u0061ta", "dat", "x"), literal, space)), (members) => {
        const json = `{${members.map(([key, value, gap]) => `${gap}"${key}"${gap}:${gap}${value}${gap}`).join(",")}}`;
        const wanted = members.findLast(([key]) => key.startsWith("d") && key !== "dat")?.[1];
        expect(topLevelMember(Buffer.from(json), "data")?.bytes.toString()).toBe(wanted?.trim());
      }),
      { numRuns: 2_000 },
    );
  });

  test("calls nothing plain that jsonb may refuse, wherever it stands", () => {
    fc.assert(
      fc.property(fc.array(literal, { minLength: 1, maxLength: 4 }), space, (values, gap) => {
        const json = `${gap}[${values.join(`,${gap}`)}]${gap}`;
        const { isPlain } = wholeValue(Buffer.from(json));
        if (isPlain) expect(jsonbAccepts(json)).toBe(true);
        expect(topLevelMember(Buffer.from(`{"x":${json},"data":${json},"y":"\\u0000"}`), "data")?.isPlain).toBe(
          isPlain,
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test("ordinary data is plain", () => {
    expect(wholeValue(Buffer.from('{"a":[true,false,null,-1.5,"e\\n\\"x"],"b":"1e99999"}')).isPlain).toBe(true);
  });
});
