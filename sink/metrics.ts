import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "@prometheus-io/client";
import { CircuitState } from "cockatiel";
import type { WritePlan } from "./batch.ts";
import { disposition } from "./chain.ts";
import type { SinkConfig } from "./config.ts";

/** Names and labels are relied on by dashboards and alerts: docs/contracts.md. */
export interface SinkMetrics {
  readonly registry: Registry;
  decoded(events: number, seconds: number): void;
  written(plan: WritePlan, seconds: number, nowMs: number): void;
  storeFailed(): void;
  breaker(state: CircuitState): void;
  untrustedTime(): void;
}

export interface PartitionGauge {
  readonly number: number;
  /** Undefined: not known, so the series is left out. */
  readonly lag: bigint | undefined;
  readonly held: string | undefined;
}

export interface MetricSources {
  queued(): number;
  partitions(): Iterable<PartitionGauge>;
  /** Reasons why Kafka is in the way. */
  kafkaTrouble(): Iterable<string>;
  /** Reasons why the store is in the way. */
  storeTrouble(): Iterable<string>;
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Our own time per event is microseconds. */
const ownSeconds = [0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025];
/** Of each transaction so many events are measured end to end: each of them would cost more than it tells. */
const END_TO_END_SAMPLES = 50;

const names = Object.keys(disposition);

export function sinkMetrics(pipeline: SinkConfig["pipeline"], sources: MetricSources): SinkMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({
    namespace: pipeline.namespace,
    pipeline: pipeline.name,
    component: `sink-${pipeline.sink}`,
  });
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const events = new Counter({ name: "audit_events_total", help: "Events settled", registers });
  const errors = new Counter({
    name: "audit_errors_total",
    help: "Events that were dead-lettered, and writes to the store that failed",
    registers,
  });
  const rejected = new Counter({
    name: "audit_rejected_total",
    help: "Events dead-lettered, by reason",
    labelNames: ["reason"] as const,
    registers,
  });
  const settled = new Counter({
    name: "audit_settled_total",
    help: "Offsets settled, by disposition; a Gone range counts once",
    labelNames: ["disposition"] as const,
    registers,
  });
  const latency = new Histogram({
    name: "audit_events_latency_seconds",
    help: "Our own time per event, without broker and store",
    buckets: ownSeconds,
    registers,
  });
  const storeWrite = new Histogram({
    name: "audit_store_write_seconds",
    help: "One transaction, from BEGIN to the answer of COMMIT",
    buckets: seconds,
    registers,
  });
  const endToEnd = new Histogram({
    name: "audit_end_to_end_seconds",
    help: "From the record's time to its commit in the store",
    buckets: seconds,
    registers,
  });
  const breaker = new Gauge({
    name: "circuit_breaker_state",
    help: "0 closed, 1 half-open, 2 open",
    registers,
  });
  const untrusted = new Gauge({
    name: "audit_record_time_untrusted",
    help: "1 when records without the broker's append time were met",
    registers,
  });
  new Gauge({
    name: "audit_queue_size",
    help: "Events decoded and not written yet",
    registers,
    collect() {
      this.set(sources.queued());
    },
  });
  new Gauge({
    name: "audit_consumer_lag",
    help: "Records of a partition that are not settled",
    labelNames: ["partition"] as const,
    registers,
    collect() {
      this.reset();
      for (const { number, lag } of sources.partitions()) {
        if (lag !== undefined) this.set({ partition: String(number) }, Number(lag));
      }
    },
  });
  new Gauge({
    name: "audit_partition_held",
    help: "1 for each partition that cannot go on, by reason",
    labelNames: ["partition", "reason"] as const,
    registers,
    collect() {
      this.reset();
      for (const { number, held } of sources.partitions()) {
        if (held !== undefined) this.set({ partition: String(number), reason: held }, 1);
      }
    },
  });

  const trouble = (name: string, help: string, reasons: () => Iterable<string>) =>
    new Gauge({
      ...{ name, help, labelNames: ["reason"] as const, registers },
      collect() {
        this.reset();
        for (const reason of reasons()) this.set({ reason }, 1);
      },
    });
  trouble("audit_kafka_trouble", "1 while Kafka is in the way, by reason", sources.kafkaTrouble);
  trouble("audit_store_trouble", "1 while the store is in the way, by reason", sources.storeTrouble);

  return {
    registry,
    decoded(count, spent) {
      latency.observe(spent / count);
    },
    written({ stored, skipped, deadLetterReasons }, spent, nowMs) {
      if (spent > 0) storeWrite.observe(spent);
      settled.inc({ disposition: "Stored" }, stored.length);
      for (const row of skipped) settled.inc({ disposition: names[row.disposition] ?? "Unknown" });
      const gone = skipped.filter((row) => row.disposition === disposition.Gone).length;
      events.inc(stored.length + skipped.length - gone);
      for (const reason of deadLetterReasons) {
        rejected.inc({ reason });
        errors.inc();
      }
      const step = Math.max(1, Math.ceil(stored.length / END_TO_END_SAMPLES));
      for (let at = 0; at < stored.length; at += step) {
        const row = stored[at];
        if (row !== undefined) endToEnd.observe(Math.max(0, (nowMs - Number(row.item.recordedAtMs)) / 1000));
      }
    },
    storeFailed: () => errors.inc(),
    breaker: (state) => breaker.set(state === CircuitState.Open ? 2 : state === CircuitState.HalfOpen ? 1 : 0),
    untrustedTime: () => untrusted.set(1),
  };
}
