import type { Header } from "../support/reference-chain.ts";
import { binaryEvent, type EventBody, structuredEvent } from "./bodies.ts";
import { poison } from "./poison.ts";
import type { Random } from "./random.ts";

/** One record on its way to Kafka. */
export interface SourceRecord {
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
  /** Milliseconds the producer claims; the broker's append time must win. */
  readonly timestamp: bigint;
  /** `undefined` for poison: which event this is, whatever its bytes. */
  readonly id: string | undefined;
  readonly kind: "New" | "Duplicate" | "Conflict" | "Poison";
}

/** Shares of the stream. */
const POISON = 0.002;
const DUPLICATE = 0.02;
const CONFLICT = 0.001;
const BINARY = 0.3;

/** Events kept for a second sending, minutes later as it were. */
const REMEMBERED = 5_000;

const PRODUCER_TIMES = [Date.UTC(2019, 0, 1), Date.UTC(2099, 11, 31), 0];

/** An endless stream: the same seed and number of partitions give the same bytes. */
export function* eventStream(random: Random, partitions: number): Generator<SourceRecord, never> {
  const remembered: { record: SourceRecord; body: EventBody }[] = [];
  for (let n = 0; ; n++) {
    const partition = random.below(partitions);
    const common = { partition, key: Buffer.from(`actor-${random.zipf(50_000)}`), timestamp: producerTime(random) };
    const earlier = remembered.length === 0 ? undefined : random.pick(remembered);
    const dice = random.fraction();

    if (dice < POISON) {
      yield { ...common, ...poison(random, n), id: undefined, kind: "Poison" };
    } else if (earlier !== undefined && dice < POISON + DUPLICATE) {
      yield { ...common, ...resent(random, earlier.record), id: earlier.record.id, kind: "Duplicate" };
    } else if (earlier !== undefined && dice < POISON + DUPLICATE + CONFLICT) {
      const body = { ...earlier.body, note: `changed ${n}` };
      yield { ...common, ...encode(random, body), id: body.id, kind: "Conflict" };
    } else {
      const body = newBody(random, n);
      const record: SourceRecord = { ...common, ...encode(random, body), id: body.id, kind: "New" };
      if (remembered.length < REMEMBERED) remembered.push({ record, body });
      else remembered[random.below(REMEMBERED)] = { record, body };
      yield record;
    }
  }
}

/** The same stream, in which poison waits as long as `hold.poison` is set. */
export function* withPoisonHeldBack(
  stream: Iterator<SourceRecord, never>,
  hold: { readonly poison: boolean },
): Generator<SourceRecord, never> {
  const waiting: SourceRecord[] = [];
  for (;;) {
    const next = (hold.poison ? undefined : waiting.shift()) ?? stream.next().value;
    if (hold.poison && next.kind === "Poison") waiting.push(next);
    else yield next;
  }
}

const producerTime = (random: Random) =>
  BigInt(random.chance(0.01) ? random.pick(PRODUCER_TIMES) : Date.UTC(2026, 0, 1));

/** The bytes that identify an event, again, with another transport header. */
function resent(random: Random, { value, headers }: SourceRecord): Pick<SourceRecord, "value" | "headers"> {
  const others = headers.filter(([name]) => name !== "traceparent");
  return { value, headers: random.chance(0.5) ? headers : [...others, ["x-retry", Buffer.from("1")]] };
}

function encode(random: Random, body: EventBody): Pick<SourceRecord, "value" | "headers"> {
  return random.chance(BINARY) ? binaryEvent(random, body) : structuredEvent(random, body);
}

function newBody(random: Random, n: number): EventBody {
  return {
    id: `${random.hex(8)}-${n}`,
    source: `/services/${random.zipf(40)}`,
    type: `com.example.kind${random.zipf(10)}`,
    actor: random.zipf(50_000),
    subject: random.zipf(100_000),
    // 20 ms apart over the stream, half a percent up to forty days late.
    time: new Date(
      Date.UTC(2026, 8, 1) + n * 20 - (random.chance(0.005) ? random.below(40 * 86_400_000) : 0),
    ).toISOString(),
    note: "",
  };
}
