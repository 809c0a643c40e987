import type { Header } from "../support/reference-chain.ts";
import type { Random } from "./random.ts";

interface Encoded {
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

const valid = (n: number) => ({
  specversion: "1.0",
  id: `poison-${n}`,
  source: "/services/poison",
  type: "com.example.poison",
  time: "2026-10-01T00:00:00Z",
  data: { actor: { id: "actor-1" }, action: "update", outcome: "success" } as Record<string, unknown>,
});
type Valid = ReturnType<typeof valid>;

const json = (change: (event: Valid) => object) => (n: number) => Buffer.from(JSON.stringify(change(valid(n))));
const data = (change: Record<string, unknown>) => json((event) => ({ ...event, data: { ...event.data, ...change } }));
const without = (name: keyof Valid) => json((event) => ({ ...event, [name]: undefined }));
/** Text put into the JSON as it is, where JSON.stringify would escape it. */
const replaced = (from: string, to: string | Buffer) => (n: number) => {
  const [before, after] = JSON.stringify(valid(n)).split(from);
  return Buffer.concat([Buffer.from(before ?? ""), Buffer.from(to), Buffer.from(after ?? "")]);
};

/** Records that are no event, by what is wrong with them. Profile AuditEvent. */
const KINDS: Readonly<Record<string, (n: number) => Buffer | null>> = {
  "null value": () => null,
  "empty value": () => Buffer.alloc(0),
  "truncated JSON": (n) => Buffer.from(JSON.stringify(valid(n)).slice(0, 80)),
  "not an object": () => Buffer.from("[1,2,3]"),
  "invalid UTF-8": replaced("com.example", Buffer.from([0xc3, 0x28])),
  "raw NUL in a string": replaced("com.example", "com\0example"),
  "escaped NUL in id": json((event) => ({ ...event, id: "a\0b" })),
  "lone surrogate in source": replaced("/services/poison", "\\ud800"),
  "NUL in an actor": data({ actor: { id: "a\0b" } }),
  "other specversion": json((event) => ({ ...event, specversion: "0.3" })),
  "no specversion": without("specversion"),
  "no id": without("id"),
  "no source": without("source"),
  "no type": without("type"),
  "no time": without("time"),
  "time without a zone": json((event) => ({ ...event, time: "2026-10-01T00:00:00" })),
  "no data": without("data"),
  "no actor": data({ actor: undefined }),
  "no action": data({ action: undefined }),
  "unknown outcome": data({ outcome: "maybe" }),
  "id of a number": json((event) => ({ ...event, id: 7 })),
  "id longer than an index row": json((event) => ({ ...event, id: "x".repeat(9_000) })),
  "larger than events.maxSize": data({ padding: "x".repeat(300_000) }),
};

export const poisonKinds = Object.keys(KINDS);

export function poison(random: Random, n: number): Encoded {
  const kind = random.pick(poisonKinds);
  const value = KINDS[kind]?.(n) ?? null;
  const headers: Header[] = [["x-kind", Buffer.from(kind)]];
  // A dead letter's own headers replace those of the same name that are already there.
  if (random.chance(0.2)) headers.push(["audit-source-offset", Buffer.from("7")], ["audit-attempts", Buffer.from("x")]);
  return { value, headers };
}
