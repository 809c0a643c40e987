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

/** What is on disk of one run. */
export interface Sent {
  readonly acknowledged: readonly Acknowledged[];
  /** Identities of records whose sending ended in an error: they may be in the log or not. */
  readonly unknown: ReadonlySet<string>;
  /** Offsets that were deleted from the log on purpose before they were read. */
  readonly deleted: readonly DeletedRange[];
}

export interface DeletedRange {
  readonly partition: number;
  readonly first: number;
  /** The first one that is still there. */
  readonly end: number;
}

type Line =
  | ({ readonly outcome: "Acknowledged" } & Acknowledged)
  | { readonly outcome: "Unknown"; readonly identity: string }
  | ({ readonly outcome: "Deleted" } & DeletedRange);

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
    this.#write(entries.map((entry) => ({ outcome: "Acknowledged", ...entry })));
  }

  appendUnknown(records: readonly SourceRecord[]): void {
    const identity = ({ headers, value }: SourceRecord) => recordHash(headers, value).toString("hex");
    this.#write(records.map((record) => ({ outcome: "Unknown", identity: identity(record) })));
  }

  appendDeleted(range: DeletedRange): void {
    this.#write([{ outcome: "Deleted", ...range }]);
  }

  readAll(): Sent {
    const lines = readFileSync(this.#path, "utf8")
      .trimEnd()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
    return {
      acknowledged: lines.filter((line) => line.outcome === "Acknowledged"),
      unknown: new Set(lines.flatMap((line) => (line.outcome === "Unknown" ? [line.identity] : []))),
      deleted: lines.filter((line) => line.outcome === "Deleted"),
    };
  }

  #write(lines: readonly Line[]): void {
    writeSync(this.#file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}
