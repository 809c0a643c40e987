import { isAscii } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileShape, type Fields, readFields } from "./json-fields.ts";

const shape = compileShape({ id: "Text", time: "Text", data: { actor: { id: "Text" }, action: "Text" } });
const read = (json: string) => {
  const bytes = Buffer.from(json);
  return readFields(bytes, isAscii(bytes), shape, "data");
};
const cut = (json: string) => {
  const member = read(json)?.member;
  return member && Buffer.from(json).toString("utf8", member.start, member.end);
};

/** The same members of what JSON.parse makes of the text; undefined where it does not parse or has another kind of value there. */
function expected(json: string): Fields | undefined {
  try {
    return picked(JSON.parse(Buffer.from(json).toString()), { id: 0, time: 0, data: { actor: { id: 0 }, action: 0 } });
  } catch {
    return undefined;
  }
}

interface Picks {
  readonly [name: string]: Picks | 0;
}

function picked(value: unknown, picks: Picks): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError("not an object");
  const fields: Fields = {};
  for (const [name, inner] of Object.entries(picks)) {
    const found = (value as Record<string, unknown>)[name];
    if (!Object.hasOwn(value, name)) continue;
    if (found === null) fields[name] = null;
    else if (inner !== 0) fields[name] = picked(found, inner);
    else if (typeof found === "string") fields[name] = found;
    else throw new TypeError("not a text");
  }
  return fields;
}

describe("readFields", () => {
  test.for([
    ['{"id":"a","data":{"actor":{"id":"é"},"action":"x\\n\\u0041"}}'],
    [' { "id" : null , "other" : [1, -0.5, {"id":"no"}, true, false, null] , "data" : { } } \n'],
    ['{"id":"first","id":"last","data":{"action":"first","actor":{"id":"1"}},"data":{"action":"last"}}'],
    ['{"__proto__":{"id":"x"},"data":{"__proto__":{"action":"y"}}}'],
    ["{}"],
  ] as const)("takes %s as JSON.parse does", ([json]) => {
    expect(read(json)?.fields).toEqual(expected(json));
    expect(read(json)).toBeDefined();
  });

  test("cuts the last member of the wanted name out of the bytes", () => {
    expect(cut('{"data":{"action":"a"},"é":1, "data" : {"n":1.10, "n":9007199254740993} ,"id":"x"}')).toBe(
      '{"n":1.10, "n":9007199254740993}',
    );
  });

  test.for([
    ['{"data":{"x":"\\u0041"}}', false],
    ['{"\\u0064":1,"id":"x"}', undefined],
    ['{"id":"\\u0041","data":{"x":1}}', true],
    ['{"data":{"x":1}}', true],
  ] as const)("of %s the member is plain: %s", ([json, isPlain]) => {
    expect(read(json)?.member?.isPlain).toBe(isPlain);
  });

  test.for([
    ...["", "[]", '"x"', "{", '{"id"}', '{"id":}', '{"id":"a",}', '{"id":"a"}x', '{,"id":"a"}', "{'id':'a'}"],
    ...[
      '{"a":01}',
      '{"a":1.}',
      '{"a":.5}',
      '{"a":+1}',
      '{"a":-}',
      '{"a":1e5}',
      '{"a":nul}',
      '{"a":truee}',
      '{"a":[1,]}',
    ],
    ...[
      '{"a":"\u0001"}',
      '{"a":"\t"}',
      '{"a":"\\x"}',
      '{"a":"\\u12g4"}',
      '{"a":"',
      '{"a":"\\',
      "\u{feff}{}",
      "\u00a0{}",
      "\v{}",
    ],
    ...['{"id":1}', '{"data":[]}', '{"data":{"actor":"x"}}', `{"a":${"[".repeat(100)}${"]".repeat(100)}}`],
    ...[`{"a":${"9".repeat(301)}}`],
  ])("leaves %s to JSON.parse", (json) => {
    expect(read(json)).toBeUndefined();
  });

  const name = fc.constantFrom("id", "time", "data", "actor", "action", "x", "__proto__", "é");
  const { tree } = fc.letrec<{ tree: unknown; object: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.string({ unit: "binary" }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(null, true, false, 0, -0),
      fc.array(tie("tree"), { maxLength: 3 }),
      tie("object"),
    ),
    object: fc.dictionary(name, tie("tree"), { maxKeys: 5 }),
  }));
  const spaces = fc.constantFrom("", " ", "\n\t");
  const written = fc
    .tuple(fc.dictionary(name, tree), spaces, fc.boolean())
    .map(([value, space, pretty]) => `${space}${JSON.stringify(value, undefined, pretty ? 1 : 0)}${space}`);
  const events = fc
    .record(
      {
        id: fc.string(),
        time: fc.string({ unit: "grapheme" }),
        data: fc.record({ actor: fc.record({ id: fc.string() }) }),
        more: tree,
      },
      { requiredKeys: [] },
    )
    .map((value) => JSON.stringify(value));

  test("agrees with JSON.parse on whatever JSON.stringify writes, as far as it is sure", () => {
    fc.assert(
      fc.property(fc.oneof(written, events), (json) => {
        const found = read(json);
        if (found !== undefined) expect(found.fields).toEqual(expected(json));
      }),
      { numRuns: 1_000 },
    );
  });

  test("takes nothing that JSON.parse refuses: valid texts with one byte put in, left out or changed", () => {
    const damaged = fc
      .tuple(
        fc.oneof(written, events),
        fc.nat(),
        fc.constantFrom("", '"', "\\", "{", "}", ",", ":", "0", "e", "\n", "\0", " ", "]"),
        fc.nat(1),
      )
      .map(([json, at, put, taken]) => {
        const where = at % (json.length + 1);
        return json.slice(0, where) + put + json.slice(where + taken);
      });
    fc.assert(
      fc.property(damaged, (json) => {
        const found = read(json);
        if (found !== undefined) expect(found.fields).toEqual(expected(json));
      }),
      { numRuns: 5_000 },
    );
  });
});
