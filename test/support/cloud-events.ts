import type { LogRecord } from "../../sink/kafka/port.ts";

/** An event in profile AuditEvent, as a producer would send it. */
export function auditEvent(id: string, over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    specversion: "1.0",
    id,
    source: "/services/payments",
    type: "com.example.payment.approved",
    time: "2026-11-05T10:00:00.123456Z",
    data: { actor: { id: "alice" }, action: "approve", outcome: "success", target: { type: "payment", id: "p-1" } },
    ...over,
  };
}

export interface RecordInput {
  readonly offset?: bigint | number;
  readonly timestamp?: bigint | number;
  readonly appendTime?: boolean;
  readonly key?: Buffer | null;
  readonly headers?: readonly (readonly [name: string, value: string | Buffer | null])[];
}

/** A record as the broker would hand it out; an object is sent as structured JSON. */
export function logRecord(value: unknown, input: RecordInput = {}): LogRecord {
  const { offset = 0, timestamp = Date.parse("2026-11-05T10:00:01Z"), appendTime = true, key = null } = input;
  return {
    offset: BigInt(offset),
    timestamp: BigInt(timestamp),
    appendTime,
    key,
    value: toBytes(value),
    headers: (input.headers ?? []).map(([name, content]) => [
      Buffer.from(name),
      content === null ? null : Buffer.from(content),
    ]),
  };
}

function toBytes(value: unknown): Buffer | null {
  if (value === null || Buffer.isBuffer(value)) return value;
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
}
