import type { Random } from "../stream/random.ts";
import type { Header } from "../support/reference-chain.ts";
import { attributeHeaders, binary, event, type HostileRecord, structuredEvent, tenantHeader } from "./record.ts";

/** Valid events with one to three things done to them, at the level of bytes, of JSON, and of headers. */
export function mutant(random: Random, id: string): HostileRecord {
  let record = random.chance(0.6)
    ? structuredEvent(rich(random, id))
    : binary(id, JSON.stringify(rich(random, id).data));
  for (let times = random.between(1, 3); times > 0; times -= 1) record = random.pick(MUTATIONS)(random, record);
  return record;
}

const rich = (random: Random, id: string) => ({
  ...event(id),
  subject: `subject/${random.hex(4)}`,
  traceparent: `00-${random.hex(32)}-${random.hex(16)}-01`,
  data: {
    actor: { type: "service", id: `actor-${random.hex(2)}`, name: "\u00c5sa \u{1f600}" },
    action: random.pick(["read", "update"]),
    outcome: random.pick(["success", "failure", "denied"]),
    target: { type: "account", id: random.hex(8) },
    changes: [{ before: random.below(1e9), after: -0.5 }, [], {}, null, true],
  },
});

type Mutation = (random: Random, record: HostileRecord) => HostileRecord;

const FRAGMENTS = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\0",
  "\ufeff",
  "null",
  "1e400",
  "-",
  "\\u0000",
  "\\ud800",
  '"id":"x",',
  "\u{10ffff}",
  "\ufdd0",
  "//",
  "NaN",
  '"__proto__":{},',
  "9007199254740993",
  "\u202e",
  "\n",
  "\x7f",
  "''",
  "1.10",
  '{"a":',
  "[[[[",
];
const BYTES = [0x00, 0x22, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xbf, 0xc0, 0xc3, 0xed, 0xf4, 0xff];

const onBytes =
  (change: (random: Random, bytes: Buffer, at: number) => Buffer): Mutation =>
  (random, record) => {
    const bytes = record.value ?? Buffer.alloc(0);
    return { ...record, value: change(random, bytes, random.below(bytes.length + 1)) };
  };
const splice = (bytes: Buffer, from: number, to: number, text: Buffer | string) =>
  Buffer.concat([bytes.subarray(0, from), Buffer.from(text), bytes.subarray(Math.max(from, to))]);

/** Something else in place of one value of the JSON text: it stays JSON. */
const inJson =
  (change: (random: Random, text: string, at: RegExpMatchArray) => string): Mutation =>
  (random, record) => {
    const text = record.value?.toString() ?? "";
    const values = [...text.matchAll(/"(?:[^"\\]|\\.)*"(?=[,}\]])|(?<=[:,[])-?\d[\d.eE+-]*/g)];
    const found = values.length === 0 ? undefined : random.pick(values);
    return found === undefined ? record : { ...record, value: Buffer.from(change(random, text, found)) };
  };

const onHeaders =
  (change: (random: Random, headers: readonly Header[], at: number) => readonly Header[]): Mutation =>
  (random, record) => ({
    ...record,
    headers: change(random, record.headers, random.below(record.headers.length || 1)),
  });

const VALUES = [
  "null",
  "true",
  "[]",
  "{}",
  '""',
  "0",
  "-0",
  "1e999999",
  '"\\u0000"',
  '"\\udfff"',
  '"\ufffe"',
  '"a\\tb"',
  '"\u202e"',
  '"1.0"',
  '"9999-12-31T23:59:60+00:00"',
  '"denied"',
  `"${"x".repeat(2_700)}"`,
  "[[[[[[]]]]]]",
  '{"id":"nested","type":null}',
];
const HEADER_VALUES: readonly (Buffer | null)[] = [
  null,
  Buffer.alloc(0),
  ...[
    "1.0",
    "\0",
    "\n",
    "\u00e9",
    "\ufffe",
    "x".repeat(3_000),
    "application/cloudevents+json",
    "application/json",
    "text/plain",
  ].map((text) => Buffer.from(text)),
  Buffer.from([0xff, 0xfe]),
];
const HEADER_NAMES = [
  "ce_id",
  "ce_x",
  "ce_time",
  "content-type",
  "audit-tenant",
  "traceparent",
  "CE_ID",
  "audit-error-class",
];

const MUTATIONS: readonly Mutation[] = [
  onBytes((random, bytes, at) => splice(bytes, at, at + 1, Buffer.from([random.pick(BYTES)]))),
  onBytes((random, bytes, at) => splice(bytes, at, at, Buffer.from([random.below(256)]))),
  onBytes((random, bytes, at) => splice(bytes, at, at + random.between(1, 9), "")),
  onBytes((random, bytes, at) => splice(bytes, at, at, bytes.subarray(at, at + random.between(1, 40)))),
  onBytes((_, bytes, at) => bytes.subarray(0, at)),
  onBytes((random, bytes, at) => splice(bytes, at, at, random.pick(FRAGMENTS))),
  inJson(
    (random, text, { index = 0, 0: old }) =>
      text.slice(0, index) + random.pick(VALUES) + text.slice(index + old.length),
  ),
  inJson(
    (random, text, { index = 0, 0: old }) =>
      text.slice(0, index) + random.pick(VALUES) + text.slice(index + old.length),
  ),
  inJson((random, text) =>
    text.replace("{", `{"${random.pick(["id", "data", "time", "zz", "__proto__"])}":${random.pick(VALUES)},`),
  ),
  onHeaders((_, headers, at) => headers.filter((__, n) => n !== at)),
  onHeaders((random, headers, at) =>
    headers.map((header, n) => (n === at ? [header[0], random.pick(HEADER_VALUES)] : header)),
  ),
  onHeaders((random, headers) => [...headers, [random.pick(HEADER_NAMES), random.pick(HEADER_VALUES)]]),
  onHeaders((random, headers) => random.shuffle(headers)),
  onHeaders((_, headers, at) => [...headers, ...headers.slice(at, at + 1)]),
];

/** Sent again: the same bytes, by another route, with other bytes, for somebody else. */
export function again(random: Random, record: HostileRecord): HostileRecord {
  const others = record.headers.filter(([name]) => name !== "audit-tenant");
  switch (random.below(5)) {
    case 0:
      return record;
    case 1:
      return { ...record, headers: [...record.headers, ["traceparent", Buffer.from(`00-${random.hex(32)}-x`)]] };
    case 2:
      return { ...record, value: record.value && Buffer.concat([record.value, Buffer.from(" ")]) };
    case 3:
      return { ...record, headers: [...others, ["audit-tenant", Buffer.from(`tenant-${random.below(3)}`)]] };
    default:
      return {
        ...record,
        headers: [...record.headers, ...attributeHeaders({ note: random.hex(4) }), tenantHeader].slice(0, -1),
      };
  }
}
