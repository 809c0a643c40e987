import { z } from "zod";
import { fixedOnceCreated, immutable, withRules } from "../rules.ts";
import { placeRules, postgresConnection } from "./connections.ts";
import { databaseName, schemaName } from "./names.ts";
import { rotation } from "./rotation.ts";
import { backendRef, dnsLabel, duration, keepOrDelete, parseDurationMs, quantity } from "./shared.ts";

const NEW_SINK = "add a sink of another name, and remove this one when it has caught up";

const postgres = withRules(
  z.strictObject({
    backendRef: backendRef("PostgreSQL"),
    connection: postgresConnection
      .optional()
      .describe(
        "A server of one's own in place of a back-end, where the operator's configuration allows inline connections. Default none; immutable.",
      ),
    database: databaseName
      .optional()
      .describe(
        "Database of the ledger, inside the back-end's namePrefix. Default the namePrefix followed by metadata.name; immutable. Example: team-a_payments.",
      ),
    schema: withRules(schemaName.clone(), immutable("schema", NEW_SINK))
      .default("audit")
      .describe("Schema that holds the tables. Default audit; immutable."),
    roles: z
      .strictObject({
        reader: z
          .strictObject({
            login: z
              .boolean()
              .default(false)
              .describe(
                "Whether the reader role may log in, with its password in a Secret. Default false; applied live.",
              ),
          })
          .prefault({})
          .describe("The role of investigators: SELECT and nothing else. Default without login; applied live."),
      })
      .prefault({})
      .describe("Roles of the database; owner and writer always exist. Default a reader without login; applied live."),
    rotation: rotation("the writer's and the reader's login"),
    partitioning: z
      .strictObject({
        precreate: z
          .int()
          .min(1)
          .max(24)
          .default(3)
          .describe("Months of partitions made ahead of now. Default 3; applied live."),
      })
      .prefault({})
      .describe("Monthly partitions of the tables. Default three months ahead; applied live."),
    retention: z
      .strictObject({
        months: z
          .int()
          .min(1)
          .max(1_200)
          .describe(
            "Whole months that every event is kept. Required; a change restarts the sink's pods, and one that drops several months at once needs the annotation auditpipeline.io/confirm-retention. Example: 84.",
          ),
        action: z
          .enum(["DetachAndDrop", "Keep"])
          .default("DetachAndDrop")
          .describe(
            "What happens to a month that is older. Default DetachAndDrop; Keep holds every drop back; applied live.",
          ),
      })
      .optional()
      .describe(
        "How long events are kept, as docs/retention.md says. Default for ever; a change restarts the sink's pods.",
      ),
  }),
  fixedOnceCreated("database", NEW_SINK),
  ...placeRules("PostgreSQL"),
);

const delivery = z
  .strictObject({
    batchSize: z
      .int()
      .min(1)
      .max(100_000)
      .default(5_000)
      .describe("Most events in one transaction. Default 5000; a change restarts the sink's pods."),
    batchBytes: quantity("64Ki", "256Mi")
      .default("8Mi")
      .describe("Most bytes of events in one transaction. Default 8Mi; a change restarts the sink's pods."),
    flushInterval: duration("1ms", "5m")
      .default("20ms")
      .describe(
        "Longest an event waits for others to share its transaction, while none is under way. Default 20ms; a change restarts the sink's pods.",
      ),
    retry: withRules(
      z.strictObject({
        initial: duration("10ms", "1h")
          .default("2s")
          .describe("Wait before the first retry. Default 2s; a change restarts the sink's pods."),
        multiplier: z
          .int()
          .min(1)
          .max(10)
          .default(2)
          .describe("Factor from one wait to the next. Default 2; a change restarts the sink's pods."),
        max: duration("10ms", "24h")
          .default("5m")
          .describe("Longest wait between retries. Default 5m; a change restarts the sink's pods."),
      }),
      {
        kind: "Value",
        // The API server holds `default: {}` against this rule before it fills in what is inside.
        cel: "!has(self.max) || !has(self.initial) || duration(self.max) >= duration(self.initial)",
        message: "max must not be shorter than initial: raise max or lower initial",
        field: "max",
        holds: ({ initial, max }) => parseDurationMs(max) >= parseDurationMs(initial),
      },
    )
      .prefault({})
      .describe(
        "Waits while a store does not answer; an event is retried for ever. Default 2s doubling up to 5m; a change restarts the sink's pods.",
      ),
    circuitBreaker: z
      .strictObject({
        failures: z
          .int()
          .min(1)
          .max(1_000)
          .default(5)
          .describe("Failures in a row that open the circuit breaker. Default 5; a change restarts the sink's pods."),
        openFor: duration("100ms", "1h")
          .default("30s")
          .describe(
            "How long it stays open before one write is tried. Default 30s; a change restarts the sink's pods.",
          ),
      })
      .prefault({})
      .describe(
        "Stops calls to a store that keeps failing. Default after 5 failures for 30s; a change restarts the sink's pods.",
      ),
    timeout: duration("100ms", "1h")
      .default("30s")
      .describe("Longest one write to the store may take. Default 30s; a change restarts the sink's pods."),
  })
  .prefault({})
  .describe("How events are batched and retried. Default 5000 events, 8Mi or 1s; a change restarts the sink's pods.");

/** One sink, as it stands in the spec and, to be torn down by, on its ConfigMap. */
export const sink = z
  .strictObject({
    name: dnsLabel(20).describe(
      "Name of the sink, unique in the pipeline. Required; a new name is a new sink. Example: ledger.",
    ),
    postgres: postgres.describe("PostgreSQL as the store. Required; {} takes all defaults."),
    delivery,
    adoptionPolicy: z
      .enum(["Never", "IfIdentical", "Always"])
      .default("Never")
      .describe(
        "What happens to roles, a database or a schema of the ledger's names that exist and are no resource's. Never: a conflict that says so; IfIdentical: taken over if they are as the operator would make them; Always: taken over, what is missing is made, and no table is changed. Default Never; applied live.",
      ),
    driftPolicy: z
      .enum(["Correct", "Report"])
      .default("Correct")
      .describe(
        "What happens to privileges and roles that somebody changed by hand. Correct: put back, with an event; Report: left, with the condition DriftDetected. Changed tables are reported either way. Default Correct; applied live.",
      ),
    deletionPolicy: z
      .strictObject({
        database: keepOrDelete
          .default("Retain")
          .describe(
            "What happens to the audit data. Default Retain; Delete also needs the annotation auditpipeline.io/confirm-delete with the pipeline's name.",
          ),
        roles: keepOrDelete
          .default("Delete")
          .describe("What happens to the writer's logins. Default Delete; applied at deletion."),
        secrets: keepOrDelete
          .default("Delete")
          .describe("What happens to the sink's Secrets. Default Delete; applied at deletion."),
      })
      .prefault({})
      .describe(
        "What stays when the sink or the pipeline is deleted. Default the database stays; applied at deletion.",
      ),
  })
  .describe("One store that gets every event of the topic.");

type Sink = z.output<typeof sink>;

/** A back-end has no `:` in its name. */
const serverOf = ({ backendRef, connection }: Sink["postgres"]) =>
  connection === undefined ? (backendRef?.name ?? "default") : `${connection.host}:${connection.port}`;

const celBackend = (sink: string) =>
  `(has(${sink}.postgres.backendRef) ? ${sink}.postgres.backendRef.name : 'default')`;

/** Field by field: an API server counts a text put together of two as one of any length, and refuses the rule. */
const CEL_SAME_SERVER =
  "(has(a.postgres.connection) ? has(b.postgres.connection) && a.postgres.connection.host == b.postgres.connection.host && " +
  "a.postgres.connection.port == b.postgres.connection.port : " +
  `!has(b.postgres.connection) && ${celBackend("a")} == ${celBackend("b")})`;

/** Without a database of its own, a sink has the pipeline's default database, all of it. */
function shareLedger(a: Sink["postgres"], b: Sink["postgres"]): boolean {
  if (serverOf(a) !== serverOf(b) || a.database !== b.database) return false;
  return a.database === undefined || a.schema === b.schema;
}

export const sinks = withRules(z.array(sink).min(1).max(10), {
  kind: "Value",
  cel:
    `self.all(a, self.all(b, a.name == b.name || !${CEL_SAME_SERVER} || ` +
    "(has(a.postgres.database) ? a.postgres.database : '') != (has(b.postgres.database) ? b.postgres.database : '') || " +
    "(has(a.postgres.database) && a.postgres.schema != b.postgres.schema)))",
  message:
    "two sinks would write to the same database, and fence each other: give one of them another backendRef or a database of its own, or, in a database that is not the operator's, another schema",
  holds: (self) => self.every((a) => self.every((b) => a.name === b.name || !shareLedger(a.postgres, b.postgres))),
});
