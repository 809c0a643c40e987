/** One small, wrong change of the source, and the tests that must notice it. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Must occur exactly once in the file. */
  readonly search: string;
  readonly replace: string;
  /** Test files or folders, as vitest takes them. */
  readonly tests: readonly string[];
}

const SETTLE = "sink/settle.ts";
const STATEMENTS = "sink/stores/postgres-statements.ts";

/** Bugs that public systems of this kind had, each rebuilt here. docs/mutants.md says where they come from. */
export const mutants: readonly Mutant[] = [
  {
    name: "commit past a gap: what was fetched is committed, not what is settled",
    file: "sink/consume.ts",
    search: "set(number, partition.position.nextOffset);",
    replace: "set(number, partition.read);",
    tests: ["sink/consume-commit.test.ts"],
  },
  {
    name: "commit past a gap: offsets the log skips are not accounted for",
    file: "sink/batch.ts",
    search: "if (item.offset !== nextOffset) {",
    replace: "if (item.offset < nextOffset) {",
    tests: ["sink/batch.test.ts"],
  },
  {
    name: "DLQ not awaited",
    file: SETTLE,
    search: "await deadLetters.send(letters);\n        return parts;",
    replace: "void deadLetters.send(letters).catch(() => undefined);\n        return parts;",
    tests: ["sink/settle.test.ts"],
  },
  {
    name: "DLQ refusal ignored: the partition goes on",
    file: SETTLE,
    search: "return { ...part, items: part.items.slice(0, first) };",
    replace: "return part;",
    tests: ["sink/settle.test.ts"],
  },
  {
    name: "outage taken for poison",
    file: "sink/stores/postgres-errors.ts",
    search: 'if (code?.startsWith("22")) return "Poison";',
    replace: 'if (code?.startsWith("22") || code?.startsWith("5")) return "Poison";',
    tests: ["sink/stores/postgres-errors.test.ts"],
  },
  {
    name: "unknown error taken for poison",
    file: "sink/stores/postgres-errors.ts",
    search: 'return "Infrastructure";\n}',
    replace: 'return "Poison";\n}',
    tests: ["sink/stores/postgres-errors.test.ts"],
  },
  {
    name: "missing month taken for poison",
    file: "sink/stores/postgres-errors.ts",
    search: 'return "MissingMonth";',
    replace: 'return "Poison";',
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "42710 taken for success",
    file: "operator/external/postgres-ledger.ts",
    search: "if (existsAlready(error)) {",
    replace: "if (existsAlready(error)) {\n          return;",
    tests: ["operator/external/postgres-ledger.test.ts"],
  },
  {
    name: "epoch without next_offset",
    file: STATEMENTS,
    search: "AND epoch = $5::int8 AND next_offset = $6::int8 AND chain = $7::bytea",
    replace: "AND epoch = $5::int8 AND $6::int8 IS NOT NULL AND $7::bytea IS NOT NULL",
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "next_offset without epoch",
    file: STATEMENTS,
    search: "AND epoch = $5::int8 AND next_offset",
    replace: "AND $5::int8 IS NOT NULL AND next_offset",
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "a claim that does not fence",
    file: STATEMENTS,
    search: "SET epoch = mine.epoch + 1,",
    replace: "SET epoch = mine.epoch,",
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "producer time as record time",
    file: "sink/kafka/record-batch.ts",
    search: "appendTime ? maxTimestamp : baseTimestamp",
    replace: "false ? maxTimestamp : baseTimestamp",
    tests: ["sink/kafka/record-batch.test.ts"],
  },
  {
    name: "same id taken for the same event, whatever its bytes",
    file: "sink/batch.ts",
    search: "return first.equals(event.sha256) ? disposition.Duplicate : disposition.Conflict;",
    replace: "return disposition.Duplicate;",
    tests: ["sink/batch.test.ts"],
  },
  {
    name: "a COMMIT without an answer taken for a failure",
    file: "sink/outcome.ts",
    search: "if (target !== undefined && standsAt(found, target)) return",
    replace: "if (target === undefined && standsAt(found, expected)) return",
    tests: ["sink/settle.test.ts"],
  },
  {
    name: "ids in the order of arrival: two writers deadlock",
    file: STATEMENTS,
    search: "ORDER BY key\n",
    replace: "\n",
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "tenant left out of the link",
    file: "sink/chain.ts",
    search: ".bytes(tenant);",
    replace: ".bytes(tenant.subarray(0, 0));",
    tests: ["sink/batch.test.ts"],
  },
  {
    name: "JSON parsed and written again",
    file: "sink/codec.ts",
    search: "raw: record.value ?? EMPTY,",
    replace: "raw: record.value === null ? EMPTY : Buffer.from(JSON.stringify(JSON.parse(record.value.toString()))),",
    tests: ["sink/codec.test.ts"],
  },
  {
    name: "one offset passed over after a claim",
    file: "sink/partitions.ts",
    search: "partition.read = position.nextOffset;",
    replace: "partition.read = position.nextOffset + 1n;",
    tests: ["sink/consume.test.ts"],
  },
  {
    name: "the operator deletes data that nobody confirmed",
    file: "operator/plan/postgres-teardown.ts",
    search: 'policy.database === "Delete" && policy.mayDestroy',
    replace: 'policy.database === "Delete"',
    tests: ["operator/plan/postgres-ledger.test.ts"],
  },
  {
    name: "an older connection cannot end a newer one that blocks it",
    file: "sink/stores/postgres-session.ts",
    search: "older.wait_event_type = 'Client'",
    replace: "older.backend_start < mine.backend_start",
    tests: ["sink/stores/postgres.test.ts"],
  },
  {
    name: "bytes that are no UTF-8 replaced in silence",
    file: "sink/codec.ts",
    search: "if (!isUtf8(bytes)) throw new RejectedError",
    replace: "if (bytes.length < 0) throw new RejectedError",
    tests: ["sink/codec.test.ts"],
  },
  {
    name: "a retry with another traceparent taken for another event",
    file: "sink/identity.ts",
    search: 'return name === "content-type" || name.startsWith("ce_");',
    replace: "return name.length > 0;",
    tests: ["sink/codec.test.ts"],
  },
  {
    name: "a marker found taken for a marker of ours",
    file: "operator/plan/postgres-ownership.ts",
    search: 'if (!sameResource) return "Foreign";',
    replace: "",
    tests: ["operator/plan/postgres-ledger.test.ts"],
  },
  {
    name: "another's topic adopted because its name fits",
    file: "operator/plan/kafka-topic.ts",
    search: 'if (adoption === "Always" || (adoption === "IfIdentical" && unlike.length === 0)) return "Adopted";',
    replace: 'return "Adopted";',
    tests: ["operator/plan/topic-adoption.test.ts"],
  },
  {
    name: "a name longer than the server keeps is sent all the same",
    file: "operator/external/quote.ts",
    search: "if (bytes === 0 || bytes > MAX_IDENTIFIER_BYTES)",
    replace: "if (bytes === 0)",
    tests: ["operator/external/quote.test.ts"],
  },
  {
    name: "the old login is taken away before the new one has a password",
    file: "operator/plan/login-rotation.ts",
    search: "if (at === undefined) return Number.POSITIVE_INFINITY;",
    replace: "if (at === undefined) return 0;",
    tests: ["operator/plan/login-rotation.test.ts"],
  },
  {
    name: "a grant made by hand stays",
    file: "operator/plan/postgres-grants.ts",
    search: "return same(privileges, was) ? []",
    replace: "return privileges.every((privilege) => was.includes(privilege)) ? []",
    tests: ["operator/plan/postgres-ledger.test.ts"],
  },
  {
    name: "a cut of many months goes without a word",
    file: "operator/plan/postgres-retention.ts",
    search: "return fresh.length > 1 ||",
    replace: "return fresh.length < 0 ||",
    tests: ["operator/plan/postgres-retention.test.ts"],
  },
  {
    name: "a month dropped as soon as a part of it is too old",
    file: "operator/plan/postgres-retention.ts",
    search: "Number.isFinite(fromMs) && toMs <= boundary)",
    replace: "Number.isFinite(fromMs) && fromMs <= boundary)",
    tests: ["operator/plan/postgres-retention.test.ts"],
  },
  {
    name: "an event past its retention is stored, and asks for a month that nobody makes",
    file: "sink/batch.ts",
    search: "if (expiresBeforeMs !== undefined && recordedAtMs < expiresBeforeMs) return disposition.Expired;",
    replace: "",
    tests: ["sink/batch.test.ts"],
  },
  {
    name: "a broker that cannot be spoken to taken for a topic that is missing",
    file: "operator/external/kafka-errors.ts",
    search:
      'return caller && !faults.some(({ code }) => code === "PLT_KFK_NETWORK") && !/TLS/.test(messagesOf(error));',
    replace: "return caller;",
    tests: ["operator/external/connect-kafka.test.ts"],
  },
  {
    name: "a right in Kafka given by hand stays",
    file: "operator/plan/kafka-principal.ts",
    search: "if (extra.length > 0) actions",
    replace: "if (extra.length > 99) actions",
    tests: ["operator/plan/kafka-principal.test.ts"],
  },
  {
    name: "an adoption policy reaches what another namespace retained",
    file: "operator/plan/postgres-ownership.ts",
    search: 'marker.state === "Released" && marker.namespace === identity.namespace',
    replace: 'marker.state === "Released"',
    tests: ["operator/external/postgres-adoption.test.ts"],
  },
  {
    name: "a conflict names the owner to everybody",
    file: "operator/plan/postgres-ownership.ts",
    search: "if (marker.namespace !== identity.namespace) {",
    replace: "if (marker === undefined) {",
    tests: ["operator/external/postgres-adoption.test.ts"],
  },
  {
    name: "a teardown takes what a former self left",
    file: "operator/plan/postgres-ownership.ts",
    search: 'return found === "Ours" || found === "Released";',
    replace: 'return found !== "Foreign";',
    tests: ["operator/external/postgres-ledger.test.ts"],
  },
  {
    name: "a former self's ledger is taken while its sink still writes",
    file: "operator/plan/postgres-ledger.ts",
    search: "if (sessions === 0 ||",
    replace: "if (sessions >= 0 ||",
    tests: ["operator/plan/postgres-ledger.test.ts"],
  },
  {
    name: "a half-made ledger is taken for one that somebody changed",
    file: "operator/plan/postgres-ledger.ts",
    search: "owner?.marker?.settled === ledgerFingerprint(desired)",
    replace: "owner !== undefined",
    tests: ["operator/external/postgres-drift.test.ts"],
  },
];
