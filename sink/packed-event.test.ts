import fc from "fast-check";
import { expect, test } from "vitest";
import { logRecord } from "../test/support/cloud-events.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { AuditEvent } from "./event.ts";
import { encodeHeaders } from "./identity.ts";
import { PACKED_COLUMNS, PackedEvent, pgTimestamp } from "./packed-event.ts";
import { RowMemory } from "./row-memory.ts";

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((content) => Buffer.from(content));
const text = fc.string({ unit: "grapheme", maxLength: 30 });
const textOrNull = fc.option(text);
const digest = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((content) => Buffer.from(content));

const packed = fc
  .record({
    columns: fc.record({
      tenant: text,
      source: text,
      id: text,
      type: text,
      subject: textOrNull,
      eventTime: fc.option(fc.bigInt({ min: -(2n ** 50n), max: 2n ** 50n })),
      actorType: textOrNull,
      actorId: textOrNull,
      action: textOrNull,
      outcome: textOrNull,
      reason: textOrNull,
      targetType: textOrNull,
      targetId: textOrNull,
      traceId: textOrNull,
      details: fc.option(bytes(60).filter(({ length }) => length > 0)),
      sha256: digest(32),
      key: digest(16),
    }),
    // Now and then one that is larger than a piece of memory.
    value: fc.tuple(fc.option(bytes(60)), fc.nat(20), fc.nat(300_000)).map(([small, kind, size]) => {
      return kind === 0 ? Buffer.alloc(size, size) : small;
    }),
    key: fc.option(bytes(8)),
    headers: fc.array(fc.tuple(bytes(6), fc.option(bytes(6))), { maxLength: 3 }),
    timestamp: fc.bigInt({ min: 0n, max: 2n ** 60n }),
    appendTime: fc.boolean(),
    /** Details that are a part of the value: from, and how long. */
    part: fc.option(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 30 }))),
  })
  .map(({ columns, timestamp, appendTime, part, ...parts }) => {
    const view = part === null ? undefined : parts.value?.subarray(part[0], part[0] + part[1]);
    const details = view === undefined || view.length === 0 ? columns.details : view;
    const record = { ...logRecord(""), ...parts, offset: 7n, timestamp, appendTime };
    const event: AuditEvent = {
      ...columns,
      details,
      raw: parts.value ?? Buffer.alloc(0),
      headers: encodeHeaders(parts.headers),
    };
    return { event, record };
  });

/** As COPY reads them: docs of COPY, Binary Format. */
function columnsOf(event: PackedEvent): Record<string, Buffer | null> {
  const row = new ByteWriter();
  event.writeColumns(row);
  const written = row.take();
  let at = 0;
  const columns = PACKED_COLUMNS.map((name) => {
    const length = written.readInt32BE(at);
    at += 4 + Math.max(0, length);
    return [name, length < 0 ? null : written.subarray(at - length, at)] as const;
  });
  expect(at).toBe(written.length);
  return Object.fromEntries(columns);
}

const utf8 = (value: string | null) => (value === null ? null : Buffer.from(value));

function expectedColumns(event: AuditEvent): Record<string, Buffer | null> {
  const time = Buffer.alloc(8);
  if (event.eventTime !== null) time.writeBigInt64BE(pgTimestamp(event.eventTime));
  return {
    tenant: utf8(event.tenant),
    source: utf8(event.source),
    id: utf8(event.id),
    type: utf8(event.type),
    subject: utf8(event.subject),
    event_time: event.eventTime === null ? null : time,
    actor_type: utf8(event.actorType),
    actor_id: utf8(event.actorId),
    action: utf8(event.action),
    outcome: utf8(event.outcome),
    reason: utf8(event.reason),
    target_type: utf8(event.targetType),
    target_id: utf8(event.targetId),
    trace_id: utf8(event.traceId),
    raw: event.raw,
    headers: event.headers,
    sha256: event.sha256,
    details: event.details === null ? null : Buffer.concat([Buffer.from([1]), event.details]),
  };
}

test("a packed event is the columns and the record that it was made of, however many were released before it", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(packed, fc.boolean()), { maxLength: 60 }), (given) => {
      const memory = new RowMemory();
      const held: [PackedEvent, (typeof given)[number][0]][] = [];
      for (const [made, releaseOne] of given) {
        held.push([PackedEvent.of(made.event, made.record, memory), made]);
        // Not in the order in which they came.
        if (releaseOne) held.splice(held.length >>> 1, 1)[0]?.[0].release();
      }
      for (const [event, { event: wanted, record }] of held) {
        expect(columnsOf(event)).toEqual(expectedColumns(wanted));
        expect(columnsOf(event.withoutDetails())).toEqual({ ...expectedColumns(wanted), details: null });
        expect(event.recordAt(7n)).toEqual(record);
        const { key, keyText, sha256, source, id, raw, headers, details, tenant } = event;
        expect({ key, sha256, source, id, raw, headers, details, tenant }).toEqual({
          key: wanted.key,
          sha256: wanted.sha256,
          source: wanted.source,
          id: wanted.id,
          raw: wanted.raw,
          headers: wanted.headers,
          details: wanted.details,
          tenant: wanted.tenant,
        });
        expect(keyText).toBe(wanted.key.toString("latin1"));
      }
    }),
  );
});

test("memory is used again once all of its events were released, and not before", () => {
  const memory = new RowMemory();
  const piece = memory.next();
  piece.hold();
  piece.hold();
  piece.writer.bytes(Buffer.alloc(300_000));
  const other = memory.next();
  expect(other).not.toBe(piece);
  other.writer.bytes(Buffer.alloc(300_000));
  piece.release();
  expect(memory.next()).not.toBe(piece);
  memory.next().writer.bytes(Buffer.alloc(300_000));
  piece.release();
  expect(memory.next()).toBe(piece);
  expect(piece.writer.length).toBe(0);
});

test("an event that was released is found no more, and releasing it again is refused", () => {
  const memory = new RowMemory();
  const released = memory.next();
  released.hold();
  const view = released.writer.bytes(Buffer.from("an event")).take();
  released.release();
  expect(String(view)).not.toContain("event");
  expect(() => released.release()).toThrow("twice");
});
