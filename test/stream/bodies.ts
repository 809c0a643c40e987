import type { Header } from "../support/reference-chain.ts";
import type { Random } from "./random.ts";

export interface EventBody {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly actor: number;
  readonly subject: number;
  readonly time: string;
  /** Text that makes two events with one id differ. */
  readonly note: string;
}

interface Encoded {
  readonly value: Buffer;
  readonly headers: readonly Header[];
}

/** Members that are other bytes, or another value, after JSON.parse and JSON.stringify; all of them valid JSON. */
const FRAGILE = [
  '"amount":9007199254740993',
  '"amount":1.10',
  '"amount":1E400',
  '"twice":1,"twice":2',
  '"lone":"\\ud800"',
  '"nul":"a\\u0000b"',
  '"escaped":"\\u0041\\/"',
  '"astral":"\u{1F600}\u00e9"',
  '"z":1 ,\t"a" : 2',
  '"negative":-0',
  `"deep":${"[".repeat(300)}${"]".repeat(300)}`,
  '"__proto__":{"x":1}',
];

const contentType = (type: string): Header => ["content-type", Buffer.from(type)];

export function structuredEvent(random: Random, body: EventBody): Encoded {
  const attributes = Object.entries(attributesOf(body))
    .map(([name, text]) => `"${name}":${JSON.stringify(text)}`)
    .join(",");
  const headers = random.chance(0.9) ? [contentType("application/cloudevents+json; charset=UTF-8")] : [];
  return {
    value: Buffer.from(`{${attributes},"data":${data(random, body)}}`),
    headers: [...headers, ...transport(random)],
  };
}

export function binaryEvent(random: Random, body: EventBody): Encoded {
  const attributes = Object.entries(attributesOf(body)).map(
    ([name, text]): Header => [`ce_${name}`, Buffer.from(text)],
  );
  const headers = random.shuffle([...attributes, contentType("application/json")]);
  return { value: Buffer.from(data(random, body)), headers: [...headers, ...transport(random)] };
}

const attributesOf = ({ id, source, type, subject, time }: EventBody) => ({
  specversion: "1.0",
  id,
  source,
  type,
  subject: `subject/${subject}`,
  time,
  datacontenttype: "application/json",
});

/** Written by hand, so that what is sent is not limited to what JSON.stringify would write. */
function data(random: Random, { actor, subject, note }: EventBody): string {
  const outcome = random.chance(0.6) ? "success" : random.pick(["failure", "denied"]);
  const request = {
    method: random.pick(["GET", "POST", "PUT"]),
    path: `/v1/accounts/${subject}`,
    status: 200,
    duration_ms: random.below(900),
  };
  const changes = Array.from({ length: random.below(4) }, (_, n) => ({
    field: `f${n}`,
    before: random.hex(8),
    after: random.hex(8),
  }));
  const members = [
    `"actor":{"type":"${random.pick(["user", "service"])}","id":"actor-${actor}","name":"Name of ${actor}","ip":"10.0.${actor % 256}.7"}`,
    `"action":"${random.pick(["read", "update", "delete"])}"`,
    `"outcome":"${outcome}"`,
    `"resource":{"type":"account","id":"acc-${subject}"}`,
    `"request":${JSON.stringify(request)}`,
    `"changes":${JSON.stringify(changes)}`,
    ...(note === "" ? [] : [`"note":${JSON.stringify(note)}`]),
    ...(random.chance(0.02) ? [random.pick(FRAGILE)] : []),
  ];
  return `{${members.join(",")}}`;
}

/** Headers that are the transport's: repeated, empty, null, not UTF-8. */
function transport(random: Random): Header[] {
  const trace: Header = ["traceparent", Buffer.from(`00-${random.hex(32)}-${random.hex(16)}-01`)];
  if (random.chance(0.9)) return [trace];
  return [
    trace,
    ["x-null", null],
    ["x-empty", Buffer.alloc(0)],
    ["x-repeated", Buffer.from("1")],
    ["x-repeated", Buffer.from([0xff, 0xfe])],
  ];
}
