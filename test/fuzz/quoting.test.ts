import { expect, test } from "vitest";
import { identifier, literal } from "../../operator/external/quote.ts";
import type { Random } from "../stream/random.ts";
import { asSuperuser } from "../support/ledger.ts";
import { SEED } from "../support/seed.ts";
import { sharedServers } from "../support/servers.ts";
import { fuzzRuns, seeded } from "./runs.ts";

const RUNS = fuzzRuns(10_000);
const PER_QUERY = 250;
const PARTS = [
  "'",
  '"',
  "\\",
  "''",
  '""',
  "\\'",
  "$$",
  "$a$",
  "--",
  "/*",
  "*/",
  ";",
  "\n",
  "\r",
  "\t",
  "\u202e",
  "\u00e9",
  "\u{1f600}",
  "\ufeff",
  "%",
  "\x7f",
  "\x01",
  "U&'",
  "E'",
  "\uffff",
  "a",
  " ",
  "\\x00",
  "\\u0041",
  "$1",
  "public.",
  "NULL",
];

/** A text without NUL and lone surrogates, which SQL cannot hold. */
function text(random: Random): string {
  const parts = Array.from({ length: random.between(1, 8) }, () =>
    random.chance(0.7) ? random.pick(PARTS) : String.fromCodePoint(random.between(1, 0xd7ff)),
  );
  return parts.join("");
}

// Each text as a value and, as far as it fits, as a name: both come back as they went.
test.for([
  { strings: "on", major: "postgres18" },
  { strings: "off", major: "postgres18" },
] as const)(
  `${RUNS} texts go through $major as they are, standard_conforming_strings $strings (SEED=${SEED})`,
  { timeout: 60_000 + RUNS * 5 },
  async ({ strings, major }) => {
    const random = seeded();
    const pg = sharedServers()[major];
    await asSuperuser(pg, "postgres", async (client) => {
      await client.query(`SET standard_conforming_strings = ${strings}`);
      await client.query("SET escape_string_warning = off");
      for (let done = 0; done < RUNS; done += PER_QUERY) {
        const texts = Array.from({ length: PER_QUERY }, () => text(random));
        const names = texts.map((value, n) => (Buffer.byteLength(value) > 63 ? `n${n}` : value));
        const columns = texts.map((value, n) => `${literal(value)} AS ${identifier(names[n] ?? "")}`);
        const { rows, fields } = await client.query<string[]>({
          text: `SELECT ${columns.join(", ")}`,
          rowMode: "array",
        });
        expect(rows[0]).toEqual(texts);
        expect(fields.map((field) => field.name)).toEqual(names);
      }
    });
  },
);
