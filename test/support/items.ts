import type { DeadLetterItem, EventItem } from "../../sink/batch.ts";
import { decode } from "../../sink/codec.ts";
import type { LogRecord } from "../../sink/kafka/port.ts";
import { PackedEvent } from "../../sink/packed-event.ts";
import { RowMemory } from "../../sink/row-memory.ts";
import { auditEvent, logRecord } from "./cloud-events.ts";

const memory = new RowMemory();
const recordedAt = Date.parse("2026-11-05T10:00:01Z");

/** An event on its way into the ledger; the same id with another text has other bytes. */
export function eventItem(
  offset: number,
  id: string,
  text = "",
  over: { recordedAtMs?: number; tenant?: string } = {},
): EventItem {
  return itemOf(
    logRecord(auditEvent(id, { subject: `s${text}` }), { offset, timestamp: over.recordedAtMs ?? recordedAt }),
    over.tenant,
  );
}

/** `details`: in the place of those that the codec finds. */
export function itemOf(record: LogRecord, tenant = "acme", details?: Buffer): EventItem {
  const result = decode(record, { profile: "AuditEvent", tenant, maxSize: 10_000_000 });
  if (result.kind !== "Event") throw new Error(result.rejection.detail);
  const event = PackedEvent.of(details === undefined ? result.event : { ...result.event, details }, record, memory);
  return { kind: "Event", offset: record.offset, recordedAtMs: record.timestamp, event };
}

export function deadLetterItem(offset: number): DeadLetterItem {
  const record = logRecord("not JSON", { offset, timestamp: recordedAt });
  const result = decode(record, { profile: "AuditEvent", tenant: "acme", maxSize: 1_000 });
  if (result.kind !== "Rejected") throw new Error("Expected a rejection");
  const { rejection, tenant, sha256 } = result;
  return {
    kind: "DeadLetter",
    offset: record.offset,
    recordedAtMs: record.timestamp,
    rejection,
    tenant,
    sha256,
    record,
  };
}
