import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { asLogin } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { identifier, literal } from "./quote.ts";

/** Text as hostile as SQL can meet it: quotes, backslashes, dollar tags, comments, line ends, right-to-left, astral. */
const nasty = fc.constantFrom(
  "'",
  '"',
  "''",
  '""',
  "\\",
  "\\'",
  "$$",
  "$a$",
  "--",
  "/*",
  "*/",
  ";",
  "\n",
  "\r",
  "\u202e",
  "é",
  "😀",
  "%",
  "\x7f",
  "U&'",
  "E'",
  "\uFFFF",
);
const text = fc
  .array(fc.oneof(nasty, fc.string({ unit: "binary", maxLength: 6 }), fc.string({ maxLength: 6 })), { maxLength: 12 })
  .map((parts) => parts.join(""))
  .filter((value) => !value.includes("\0") && value.isWellFormed());
const name = text.filter((value) => value !== "" && Buffer.byteLength(value) <= 63);

describe.each(["postgres15", "postgres18"] as const)("quoting on %s", (major) => {
  const pg = sharedServers()[major];

  test("any name comes back as the very name, and nothing else of the statement moves", async () => {
    await asLogin(pg, pg.admin, "postgres", (client) =>
      fc.assert(
        fc.asyncProperty(name, name, async (column, table) => {
          const quoted = `SELECT 1 AS ${identifier(column)}, 2 AS second FROM (SELECT) AS ${identifier(table)}`;
          const { fields, rows } = await client.query({ text: quoted, rowMode: "array" });
          expect(fields.map((field) => field.name)).toEqual([column, "second"]);
          expect(rows).toEqual([[1, 2]]);
        }),
        { numRuns: 2_000 },
      ),
    );
  });

  test.each(["on", "off"])(
    "any value comes back as the very value, standard_conforming_strings %s",
    async (setting) => {
      await asLogin(pg, pg.admin, "postgres", async (client) => {
        await client.query(`SET standard_conforming_strings = ${setting}`);
        await fc.assert(
          fc.asyncProperty(text, async (value) => {
            const { rows } = await client.query(`SELECT ${literal(value)} AS value, 2 AS second`);
            expect(rows).toEqual([{ value, second: 2 }]);
          }),
          { numRuns: 2_000 },
        );
      });
    },
  );
});

test.each([
  ["NUL", "a\0b"],
  ["a lone surrogate", "a\ud800b"],
])("%s is refused, in names and values", (_, value) => {
  expect(() => identifier(value)).toThrow(RangeError);
  expect(() => literal(value)).toThrow(RangeError);
});

test("a name is refused that the server would cut, counted in bytes", () => {
  expect(identifier("é".repeat(31))).toBe(`"${"é".repeat(31)}"`);
  expect(() => identifier("é".repeat(32))).toThrow(RangeError);
  expect(() => identifier("")).toThrow(RangeError);
});
