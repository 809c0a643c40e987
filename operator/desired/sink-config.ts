import type { AuditPipelineSpec, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { parseDurationMs, parseQuantityBytes } from "../../crds/v1alpha1/shared.ts";
import type { SinkConfigInput } from "../../sink/config.ts";
import type { KafkaBackend, PostgresBackend } from "../config.ts";

/** Everything that decides a sink's configuration. */
export interface SinkInput {
  readonly pipeline: { readonly namespace: string; readonly name: string };
  readonly spec: Pick<AuditPipelineSpec, "events" | "workload">;
  readonly sink: SinkSpec;
  readonly topic: {
    readonly topicName: string;
    readonly topicId: string;
    readonly deadLetterTopic?: string | undefined;
  };
  readonly kafka: Pick<KafkaBackend, "bootstrapServers" | "tls" | "sasl">;
  /** What the sink has to log in with, and where its authority lies in the pod. */
  readonly kafkaAccess: KafkaFiles;
  readonly postgres: Pick<PostgresBackend, "host" | "port" | "sslMode">;
  readonly ledger: { readonly database: string; readonly schema: string };
  readonly consumerGroup: string;
  /** Where the CA lies in the pod, when the back-end has one. */
  readonly caFile?: string | undefined;
}

/** Paths in the pod, of what the sink's connection to Kafka needs; absent where it needs none. */
export interface KafkaFiles {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

type Sasl = NonNullable<SinkConfigInput["kafka"]["sasl"]>;

/** What the sink reads from its ConfigMap. Users and passwords are not in it: they come from Secrets, by environment. */
export type RenderedSinkConfig = Omit<SinkConfigInput, "store" | "kafka"> & {
  kafka: Omit<SinkConfigInput["kafka"], "sasl"> & { sasl?: Omit<Sasl, "username" | "password"> };
  store: Omit<SinkConfigInput["store"], "postgres"> & {
    postgres: Omit<SinkConfigInput["store"]["postgres"], "user" | "password">;
  };
};

/** Resource units (`30s`, `8Mi`) become the sink's milliseconds and bytes here, and nowhere else. */
export function desiredSinkConfig(input: SinkInput): RenderedSinkConfig {
  const { pipeline, spec, sink, topic, kafka, postgres, ledger, caFile } = input;
  const { retention } = sink.postgres;
  const { retry, circuitBreaker, ...delivery } = sink.delivery;
  return {
    pipeline: { ...pipeline, sink: sink.name },
    kafka: kafkaSection(kafka, input.kafkaAccess),
    source: {
      topic: topic.topicName,
      topicId: topic.topicId,
      groupId: input.consumerGroup,
      ...(topic.deadLetterTopic === undefined ? {} : { deadLetterTopic: topic.deadLetterTopic }),
    },
    events: {
      profile: spec.events.profile,
      tenantFrom: spec.events.tenantFrom,
      ...(spec.events.tenantFrom === "Pipeline" ? { tenant: spec.events.tenant ?? pipeline.namespace } : {}),
      maxSize: parseQuantityBytes(spec.events.maxSize),
    },
    store: {
      postgres: {
        host: postgres.host,
        port: postgres.port,
        database: ledger.database,
        schema: ledger.schema,
        sslMode: postgres.sslMode,
        ...(caFile === undefined ? {} : { caFile }),
      },
      ...(retention?.action === "DetachAndDrop" ? { retention: { months: retention.months } } : {}),
    },
    delivery: {
      batchSize: delivery.batchSize,
      batchBytes: parseQuantityBytes(delivery.batchBytes),
      flushInterval: parseDurationMs(delivery.flushInterval),
      timeout: parseDurationMs(delivery.timeout),
      retry: { initial: parseDurationMs(retry.initial), multiplier: retry.multiplier, max: parseDurationMs(retry.max) },
      circuitBreaker: { failures: circuitBreaker.failures, openFor: parseDurationMs(circuitBreaker.openFor) },
    },
    logLevel: spec.workload.logLevel.toLowerCase() as "debug" | "info" | "warn" | "error",
  };
}

function kafkaSection(
  { bootstrapServers, tls, sasl }: SinkInput["kafka"],
  files: KafkaFiles,
): RenderedSinkConfig["kafka"] {
  const serverName = tls?.serverName === undefined ? {} : { serverName: tls.serverName };
  return {
    bootstrapServers: [...bootstrapServers],
    ...(tls === undefined ? {} : { tls: { ...files, ...serverName } }),
    ...(sasl === undefined ? {} : { sasl: { mechanism: sasl.mechanism } }),
  };
}
