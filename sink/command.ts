import { hostname } from "node:os";
import process from "node:process";
import { pino } from "pino";
import type { SinkConfig } from "./config.ts";
import { ConfigError, loadConfig } from "./config-load.ts";
import { kafkaClient } from "./kafka/client.ts";
import { startSink } from "./sink.ts";
import { PostgresLedger } from "./stores/postgres.ts";

const USAGE = `Usage: audit-sink consume

  consume   Move events from a Kafka topic into the pipeline's store, exactly once.

Configuration: the YAML file at CONFIG_PATH, with AUDIT_SINK__A__B on top.
`;

const exitCode = { done: 0, failed: 1, usage: 2 } as const;

/** Runs the command line; resolves to the process's exit code. `stopping` ends a sink in order. */
export async function command(stopping: AbortSignal): Promise<number> {
  const [verb, ...rest] = process.argv.slice(2);
  if (verb === "--help" || verb === "help") {
    process.stdout.write(USAGE);
    return exitCode.done;
  }
  if (verb !== "consume" || rest.length > 0) {
    process.stderr.write(USAGE);
    return exitCode.usage;
  }
  try {
    return await consume(loadConfig(process.env), stopping);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}:\n${error.problems.map((problem) => `  ${problem}\n`).join("")}`);
    return exitCode.usage;
  }
}

async function consume(config: SinkConfig, stopping: AbortSignal): Promise<number> {
  const { POD_NAME, AUDIT_SERVICE_NAME, AUDIT_ENVIRONMENT, AUDIT_SERVICE_VERSION } = process.env;
  const instance = POD_NAME ?? hostname();
  const log = pino({
    level: config.logLevel,
    base: {
      ...config.pipeline,
      instance,
      service: AUDIT_SERVICE_NAME,
      environment: AUDIT_ENVIRONMENT,
      version: AUDIT_SERVICE_VERSION,
    },
    formatters: { level: (label) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  });
  const ledger = new PostgresLedger({
    config: config.store.postgres,
    applicationName: `audit-sink/${instance}`,
    timeoutMs: config.delivery.timeout,
  });
  const kafka = await kafkaClient(config.kafka.client);
  const sink = await startSink({ config, kafka, ledger, log, instance });
  stopping.addEventListener("abort", () => sink.stop());
  if (stopping.aborted) sink.stop();

  try {
    await sink.done;
    return exitCode.done;
  } catch (error) {
    log.fatal({ err: error }, "Sink stopped");
    return exitCode.failed;
  } finally {
    await ledger.close();
  }
}
