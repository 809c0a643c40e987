import type pg from "pg";
import type { Month } from "../../operator/desired/postgres-month.ts";
import {
  chainOver,
  type Disposition,
  dispositions,
  encodeHeaders,
  eventKey,
  genesis,
  type Header,
  link,
  recordHash,
} from "../support/reference-chain.ts";

/** One offset of a small, correct ledger. Gone covers `length` offsets and has no record. */
export interface SmallRecord {
  readonly disposition: Disposition;
  readonly id: string;
  readonly headers: readonly Header[];
  readonly value: Buffer;
  readonly recordedAt: number;
  readonly length: number;
}

export const TENANT = "payments";
const SOURCE = "/verify/test";

const event = (id: string, note: string) => ({
  specversion: "1.0",
  id,
  source: SOURCE,
  type: "com.example.account.changed",
  subject: `account/${id}`,
  time: "2026-11-02T10:20:30.123456Z",
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  data: {
    actor: { type: "service", id: `actor-${id}` },
    action: "update",
    outcome: "success",
    reason: note,
    target: { type: "account", id: `acc-${id}` },
  },
});

/** A number and a repeated name that a JSON round trip would change, in the bytes only. */
const structured = (id: string, note: string): Buffer =>
  Buffer.from(JSON.stringify(event(id, note)).replace('"action"', '"amount": 9007199254740993.10, "action"'));

const contentType = (type: string): Header => ["content-type", Buffer.from(type)];

function binary(id: string, note: string): { headers: Header[]; value: Buffer } {
  const { data, ...attributes } = event(id, note);
  const headers = Object.entries(attributes).map(([name, text]): Header => [`ce_${name}`, Buffer.from(text)]);
  return {
    headers: [...headers, contentType("application/json"), ["x-null", null]],
    value: Buffer.from(JSON.stringify(data)),
  };
}

/** Every disposition and both modes, in two months: Stored at most offsets, the others at 10 to 19. */
export function smallRecords(partition: number, count: number): SmallRecord[] {
  const records: SmallRecord[] = [];
  const november = Date.UTC(2026, 10, 2, 10, 21);
  const december = Date.UTC(2026, 11, 1, 0, 0, 1, 7);
  for (let n = 0; n < count; n++) {
    const id = `${partition}-${n}`;
    const recordedAt = (n < count / 2 ? november : december) + n * 1_000;
    const plain = {
      headers: [contentType("application/cloudevents+json; charset=utf-8")],
      value: structured(id, "first"),
    };
    const mode = n % 3 === 0 ? binary(id, "first") : plain;
    records.push({ disposition: "Stored", id, ...mode, recordedAt, length: 1, ...special(partition, n) });
  }
  return records;
}

/** `perMonth` records of each month in turn; the second of a month is of the one before, as when a leader's clock is behind. */
export function recordsOver(months: readonly Month[], perMonth: number): SmallRecord[] {
  return smallRecords(0, months.length * perMonth).map((record, n) => {
    const index = Math.floor(n / perMonth);
    const { year = 0, month = 0 } = months[n % perMonth === 1 ? Math.max(0, index - 1) : index] ?? {};
    // In the last second of its month where it strays.
    const isStray = n % perMonth === 1 && index > 0;
    return { ...record, recordedAt: isStray ? Date.UTC(year, month) - 1_000 + n : Date.UTC(year, month - 1) + n };
  });
}

function special(partition: number, n: number): Partial<SmallRecord> {
  const [structuredOne, binaryOne] = [`${partition}-2`, `${partition}-3`];
  switch (n) {
    case 10:
      return {
        disposition: "Duplicate",
        id: structuredOne,
        headers: [contentType("application/cloudevents+json")],
        value: structured(structuredOne, "first"),
      };
    case 11: {
      const again = binary(binaryOne, "first");
      return {
        disposition: "Duplicate",
        id: binaryOne,
        ...again,
        headers: [["traceparent", Buffer.from("other")], ...again.headers],
      };
    }
    case 12:
      return { disposition: "Conflict", id: structuredOne, headers: [], value: structured(structuredOne, "second") };
    case 13:
      return { disposition: "DeadLettered", headers: [], value: Buffer.from('{"specversion":"1.0",') };
    case 14:
      return { disposition: "Excluded" };
    case 15:
      return { disposition: "Expired" };
    case 16:
      return { disposition: "Gone", length: 5 };
    default:
      return {};
  }
}

/** Writes the records as docs/chain.md says, by plain INSERTs. @returns the head's next offset */
export async function writeLedger(
  client: pg.Client,
  topicId: string,
  partition: number,
  records: readonly SmallRecord[],
): Promise<number> {
  let chain = genesis(topicId, partition);
  let offset = 0;
  for (const record of records) {
    const gone = record.disposition === "Gone";
    const sha256 = gone ? Buffer.alloc(0) : recordHash(record.headers, record.value);
    const tenant = gone || record.disposition === "DeadLettered" ? "" : TENANT;
    const recordedAt = gone ? 0 : record.recordedAt;
    chain = chainOver(
      chain,
      link(topicId, partition, { disposition: record.disposition, offset, recordedAt, tenant, sha256 }),
    );
    const at = new Date(record.recordedAt).toISOString();
    const position = [topicId, partition, offset];
    if (record.disposition === "Stored") {
      await client.query(INSERT_EVENT, [
        ...position,
        at,
        TENANT,
        record.id,
        record.value,
        encodeHeaders(record.headers),
        sha256,
        chain,
        dataOf(record),
      ]);
      await client.query("INSERT INTO audit.event_ids VALUES ($1, $2, $3)", [
        eventKey(TENANT, SOURCE, record.id),
        sha256,
        at,
      ]);
    } else {
      const index = dispositions.indexOf(record.disposition);
      const values = [...position, offset + record.length - 1, gone ? null : at, index, tenant, sha256, chain];
      await client.query("INSERT INTO audit.skipped VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", values);
    }
    if (record.disposition === "Conflict") {
      const values = [TENANT, SOURCE, record.id, record.value, encodeHeaders(record.headers), sha256, ...position, at];
      await client.query("INSERT INTO audit.conflicts VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", values);
    }
    offset += record.length;
  }
  await client.query(
    "INSERT INTO audit.progress (topic_id, partition, next_offset, epoch, chain) VALUES ($1, $2, $3, 1, $4)",
    [topicId, partition, offset, chain],
  );
  return offset;
}

/** `details` is cut out of the bytes: JSON.stringify would change the number. */
function dataOf({ value, id }: SmallRecord): string {
  const text = value.toString();
  const at = text.indexOf('"data":');
  return at < 0 || !text.includes(`"id":"${id}"`) ? text : text.slice(at + '"data":'.length, -1);
}

const INSERT_EVENT = `INSERT INTO audit.events (topic_id, partition, "offset", recorded_at, tenant, source, id, type, subject,
  event_time, actor_type, actor_id, action, outcome, reason, target_type, target_id, trace_id, details, raw, headers, sha256, chain)
  VALUES ($1, $2, $3, $4, $5, '${SOURCE}', $6, 'com.example.account.changed', 'account/' || $6, '2026-11-02T10:20:30.123456Z',
  'service', 'actor-' || $6, 'update', 'success', 'first', 'account', 'acc-' || $6, '4bf92f3577b34da6a3ce929d0e0e4736', $11,
  $7, $8, $9, $10)`;
