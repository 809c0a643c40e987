import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { encodeHeaders, recordHash } from "../support/reference-chain.ts";
import type { SourceRecord } from "./events.ts";

/** What Kafka acknowledged for one offset. Hashes are hex. */
export interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  /** The event's identity; null for poison. */
  readonly id: string | null;
  readonly kind: SourceRecord["kind"];
  /** Of the bytes that identify an event, as in the column sha256. */
  readonly identity: string;
  readonly value: string;
  readonly headers: string;
}

const hex = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

export function acknowledgedOf(record: SourceRecord, offset: number): Acknowledged {
  const { partition, id = null, kind, value, headers } = record;
  const identity = recordHash(headers, value).toString("hex");
  return {
    partition,
    offset,
    id,
    kind,
    identity,
    value: hex(value ?? Buffer.alloc(0)),
    headers: hex(encodeHeaders(headers)),
  };
}

/** A file that is on disk before anything in it counts. */
export class AcknowledgedFile {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, "ax");
  }

  append(entries: readonly Acknowledged[]): void {
    writeSync(this.#file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    fsyncSync(this.#file);
  }

  readAll(): Acknowledged[] {
    return readFileSync(this.#path, "utf8")
      .trimEnd()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Acknowledged);
  }

  close(): void {
    closeSync(this.#file);
  }
}
