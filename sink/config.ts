import { z } from "zod";

/**
 * The configuration of `audit-sink consume`: the contract between the operator, which renders it into a ConfigMap, and
 * the sink, which reads it from `CONFIG_PATH` with the environment (`AUDIT_SINK__A__B`) on top. Durations are whole
 * milliseconds here, sizes bytes: the resource's `30s` and `8Mi` are turned once, by the operator.
 */

const milliseconds = z.int().positive();
const bytes = z.int().positive();
const port = z.int().min(0).max(65_535);

export const kafkaConfig = z.strictObject({
  bootstrapServers: z.array(z.string().regex(/^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, "host:port")).min(1),
  /** Which adapter speaks to the brokers. */
  client: z.enum(["platformatic", "kafkajs"]).default("platformatic"),
  tls: z
    .strictObject({
      caFile: z.string().optional(),
      certFile: z.string().optional(),
      keyFile: z.string().optional(),
      /** What the brokers' certificates say, where it is not the host that is dialled. */
      serverName: z.string().min(1).optional(),
    })
    .optional(),
  sasl: z
    .strictObject({
      mechanism: z.enum(["Plain", "ScramSha256", "ScramSha512"]),
      username: z.string().min(1),
      password: z.string().min(1),
    })
    .optional(),
  sessionTimeout: milliseconds.default(15_000),
  heartbeatInterval: milliseconds.default(3_000),
  rebalanceTimeout: milliseconds.default(20_000),
  /** Most bytes fetched from one partition at a time, and half of what one fetch brings; memory is bounded by this and `delivery.batchBytes`. */
  fetchBytesPerPartition: bytes.default(1_048_576),
  /** Most bytes that one record batch may take once decompressed: a partition with a larger one is held as Unreadable. */
  maxDecodedBatchBytes: bytes.default(33_554_432),
});

export const postgresConfig = z.strictObject({
  host: z.string().min(1),
  port: port.default(5432),
  database: z.string().min(1),
  schema: z.string().min(1).default("audit"),
  user: z.string().min(1),
  password: z.string().min(1),
  sslMode: z.enum(["Disable", "Prefer", "Require", "VerifyCa", "VerifyFull"]).default("VerifyFull"),
  caFile: z.string().optional(),
});

export const deliveryConfig = z.strictObject({
  /** Events in one transaction at the most. */
  batchSize: z.int().min(1).max(100_000).default(5_000),
  batchBytes: bytes.default(8 * 1024 * 1024),
  /** Longest an event waits for others to share its transaction, while none is under way. */
  flushInterval: milliseconds.default(20),
  retry: z
    .strictObject({
      initial: milliseconds.default(2_000),
      multiplier: z.number().min(1).max(10).default(2),
      max: milliseconds.default(300_000),
    })
    .prefault({}),
  circuitBreaker: z
    .strictObject({ failures: z.int().min(1).default(5), openFor: milliseconds.default(30_000) })
    .prefault({}),
  /** One write to the store, from BEGIN to the answer of COMMIT. */
  timeout: milliseconds.default(30_000),
});

export const sinkConfig = z.strictObject({
  /** Who this sink works for: in logs, metrics, dead-letter headers. */
  pipeline: z.strictObject({
    namespace: z.string().min(1),
    name: z.string().min(1),
    sink: z.string().min(1),
  }),
  kafka: kafkaConfig,
  source: z.strictObject({
    topic: z.string().min(1),
    /** Kafka's id of the topic: another one of its name is not read. Absent: whichever is there. */
    topicId: z.guid().optional(),
    groupId: z.string().min(1),
    /** Absent: dead-lettering is switched off, and poison holds its partition. */
    deadLetterTopic: z.string().min(1).optional(),
  }),
  events: z
    .strictObject({
      profile: z.enum(["AuditEvent", "CloudEvent"]).default("AuditEvent"),
      tenantFrom: z.enum(["Pipeline", "Header"]).default("Pipeline"),
      /** With `tenantFrom: Pipeline`; default the pipeline's namespace. */
      tenant: z.string().min(1).max(255).optional(),
      maxSize: bytes.default(262_144),
    })
    .prefault({}),
  store: z.strictObject({
    postgres: postgresConfig,
    /** Absent: everything is stored. Else a record older than the start of the month so many back is Expired. */
    retention: z.strictObject({ months: z.int().min(1).max(1_200) }).optional(),
  }),
  delivery: deliveryConfig.prefault({}),
  admin: z.strictObject({ host: z.string().default("0.0.0.0"), port: port.default(8080) }).prefault({}),
  /** How long SIGTERM may drain before what is not settled is left to the successor. */
  drainTimeout: milliseconds.default(25_000),
  logLevel: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

export type SinkConfig = z.infer<typeof sinkConfig>;
/** What the operator renders: defaults may be left out. */
export type SinkConfigInput = z.input<typeof sinkConfig>;
