import { expect, test } from "vitest";
import { decode } from "../../sink/codec.ts";
import { again, mutant } from "../hostile/generate.ts";
import { judge, type Rules } from "../hostile/oracle.ts";
import { type HostileRecord, MAX_SIZE, TENANT } from "../hostile/record.ts";
import { encodeHeaders, eventKey, isBinaryMode, recordHash } from "../support/reference-chain.ts";
import { SEED } from "../support/seed.ts";
import { fuzzRuns, seeded, tries } from "./runs.ts";

// The codec by itself: millions of records where Kafka and PostgreSQL would take thousands.

const RUNS = fuzzRuns(5_000);

function wrongWith(record: HostileRecord, rules: Rules): string | undefined {
  const headers = record.headers.map(([name, value]) => [Buffer.from(name), value] as const);
  const decoded = decode(
    { offset: 0n, timestamp: 0n, appendTime: true, key: null, value: record.value, headers },
    rules,
  );
  const { faults, tenant, source, id } = judge(record, rules);
  const digest = recordHash(record.headers, record.value);
  if (decoded.kind === "Rejected") {
    const { class: kind, reason } = decoded.rejection;
    if (!faults.has(`${kind}/${reason}`)) return `${kind}/${reason}, not ${[...faults].join(" or ") || "an event"}`;
    return decoded.sha256.equals(digest) ? undefined : "another sha256 of what is rejected";
  }
  const { event } = decoded;
  if (faults.size > 0) return `an event, not ${[...faults].join(" or ")}`;
  if (event.tenant !== tenant || event.source !== source || event.id !== id) return "another identity";
  if (!event.key.equals(Buffer.from(eventKey(tenant, source, id).replaceAll("-", ""), "hex"))) return "another key";
  if (!event.sha256.equals(digest)) return "another sha256";
  if (!event.raw.equals(record.value ?? Buffer.alloc(0))) return "other bytes";
  if (!event.headers.equals(encodeHeaders(record.headers))) return "other headers";
  return wrongDetails(record, event.details);
}

/** `details` is the text of data as it was sent: parsed, it is what the whole parses to. */
function wrongDetails({ value, headers }: HostileRecord, details: Buffer | null): string | undefined {
  if (details === null) return undefined;
  const found: unknown = JSON.parse(details.toString());
  const whole: unknown = JSON.parse((value ?? "").toString());
  if (isBinaryMode(headers))
    return JSON.stringify(found) === JSON.stringify(whole) ? undefined : "details are not the value";
  const { data, data_base64: base64 } = whole as { data?: unknown; data_base64?: string | null };
  const wanted: unknown = typeof base64 === "string" ? JSON.parse(Buffer.from(base64, "base64").toString()) : data;
  return JSON.stringify(found) === JSON.stringify(wanted) ? undefined : "details are not the event's data";
}

test.for<Rules>([
  { profile: "AuditEvent", tenant: undefined, maxSize: MAX_SIZE },
  { profile: "CloudEvent", tenant: TENANT, maxSize: MAX_SIZE },
])(
  `profile $profile: ${RUNS} records are decoded as the rules say (SEED=${SEED})`,
  { timeout: 60_000 + RUNS },
  (rules) => {
    const random = seeded();
    const wrong = tries(RUNS, (run) => {
      const record = mutant(random, `fuzz-${run}`);
      const found = wrongWith(record, rules) ?? wrongWith(again(random, record), rules);
      return (
        found &&
        `${found}: ${record.value?.toString("latin1") ?? "null"} ${JSON.stringify(record.headers.map(([name, text]) => [name, text?.toString("latin1")]))}`
      );
    });
    expect(wrong).toBeUndefined();
  },
);
