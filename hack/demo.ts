import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { parse } from "yaml";
import { command } from "./demo/command.ts";
import { CONFLICTING_ID, DELICATE, demoEvents, producerLine } from "./demo/events.ts";
import { kafkaTools } from "./demo/kafka-tools.ts";
import { manifests, startOperator, state } from "./demo/operator.ts";
import { chapter, expectEqual, show, table } from "./demo/report.ts";
import { demoServers } from "./demo/servers.ts";
import { stateFolder } from "./servers/registry.ts";
import { withProgress } from "./servers/run.ts";

/**
 * The main job, seen from outside: nothing here comes from operator/ or sink/, only the project's commands, Kafka's own
 * tools and a PostgreSQL client. Ends with 1 where anything is not as promised.
 */

const started = Date.now();
const keep = (process.env["KEEP"] ?? "") !== "";
const lifetime = keep ? "detached" : "parent";
const NAMESPACE = "team-a";
const TOPIC = "team-a.payments";
const DLQ = "team-a.payments.dlq";

const auditPipeline = (...args: string[]) =>
  command("audit-pipeline", [...args, "-n", NAMESPACE], { AUDIT_PIPELINE_STATE: state });

mkdirSync(join(stateFolder, "demo"), { recursive: true });
chapter("Kafka, PostgreSQL and the operator");
const servers = await withProgress("Starting Kafka and PostgreSQL", () => demoServers(process.env, lifetime));
const operator = await withProgress("Starting the operator on copies of config/samples", () =>
  startOperator(servers, lifetime),
);

async function stopAll(): Promise<void> {
  await operator.stop();
  await servers.stop();
}
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => void stopAll().finally(() => process.exit(130)));
}

try {
  await demo();
} catch (error) {
  console.error(
    `\nDemo failed: ${error instanceof Error ? error.message : String(error)}\nThe operator's log: ${join(stateFolder, "demo/operator.log")}`,
  );
  process.exitCode = 1;
}
if (keep && process.exitCode !== 1) keepRunning();
else await withProgress("Stopping everything", stopAll);
if (process.exitCode !== 1) console.log(`\nDemo passed in ${Math.round((Date.now() - started) / 1000)} s`);

async function demo(): Promise<void> {
  const tools = await kafkaTools(servers.bootstrapServers);

  chapter("The manifests become a topic, a ledger and sinks");
  await auditPipeline("wait", "audittopic/payments", "--for=condition=Ready", "--timeout", "60s");
  await auditPipeline("wait", "auditpipeline/payments", "--for=condition=Ready", "--timeout", "90s");
  show(await auditPipeline("get", "audittopic"));
  show(await auditPipeline("get", "auditpipeline"));

  chapter("Events: valid, repeated, altered under the same id, malformed, and one that JSON libraries alter");
  const { sent, ...promised } = demoEvents(1_000);
  await withProgress(`Producing ${sent.length} events with Kafka's console producer`, () =>
    tools.produce(TOPIC, sent.map(producerLine)),
  );
  const reader = await connectReader();
  await withProgress("Waiting until every offset is accounted for", () => settled(reader, sent.length));
  show(await auditPipeline("status", "payments"));

  chapter("What is in the ledger");
  const one = async (sql: string, values: unknown[] = []) => (await reader.query(sql, values)).rows;
  expectEqual("rows", await countOf(reader, "audit.events"), promised.stored);
  expectEqual(
    "different ids among them",
    Number((await one("SELECT count(DISTINCT (tenant, source, id)) FROM audit.events"))[0].count),
    promised.stored,
  );
  const skipped = await one("SELECT disposition, count(*)::int FROM audit.skipped GROUP BY 1 ORDER BY 1");
  expectEqual(
    "duplicates passed over (disposition 1)",
    skipped.find(({ disposition }) => disposition === 1)?.count,
    promised.duplicates,
  );
  expectEqual("conflicts kept", await countOf(reader, "audit.conflicts"), promised.conflicts);
  table(
    await one(
      "SELECT id, source, convert_from(raw, 'UTF8')::json->'data'->>'outcome' AS outcome, 'events' AS kept_in FROM audit.events WHERE id = $1 UNION ALL SELECT id, source, convert_from(raw, 'UTF8')::json->'data'->>'outcome', 'conflicts' FROM audit.conflicts",
      [CONFLICTING_ID],
    ),
  );
  const [delicate] = await one("SELECT raw FROM audit.events WHERE id = 'delicate'");
  expectEqual("delicate event, byte for byte", (delicate.raw as Buffer).equals(Buffer.from(DELICATE.value)), true);
  table(
    await one(
      "SELECT id, occurred_at, actor_id, action, outcome FROM audit.audit_events ORDER BY occurred_at DESC, id LIMIT 3",
    ),
  );

  chapter("What could not be stored, and why");
  const letters = (
    await withProgress("Reading the dead-letter topic", () => tools.consume(DLQ, promised.deadLetters.length))
  ).map(headersOf);
  table(
    letters.map((headers) => ({
      offset: headers["audit-source-offset"],
      class: headers["audit-error-class"],
      reason: headers["audit-error-reason"],
      detail: headers["audit-error-detail"],
    })),
  );
  expectEqual("reasons", letters.map((headers) => headers["audit-error-reason"] ?? "").sort((a, b) => a.localeCompare(b)), promised.deadLetters);

  chapter("The chain, checked by an independent verifier (Java) against Kafka's own log");
  const url = await readerUrl();
  const verify = ["--bootstrap", servers.bootstrapServers, "--topic", TOPIC, "--dlq", DLQ, "--complete"];
  show(await withProgress("Verifying", () => command("verify/verify", verify, { POSTGRES_READER_URL: url })));

  if (keep) return reader.end();
  chapter("Deleting the pipeline: what goes and what stays");
  const writer = JSON.parse(await auditPipeline("get", "secret", "payments-ledger-writer", "-o", "json"));
  rmSync(join(manifests, "audit-pipeline.yaml"));
  await withProgress("Deleting", async () => {
    await auditPipeline("wait", "auditpipeline/payments", "--for=delete", "--timeout", "90s");
  });
  await showReceipt();
  expectEqual("topics kept", (await tools.topics()).filter((name) => name.startsWith(TOPIC)).sort(), [TOPIC, DLQ]);
  expectEqual("rows kept", await countOf(reader, "audit.events"), promised.stored);
  await reader.end();
  const login = Buffer.from(writer.data.uri, "base64").toString();
  expectEqual("the writer's login is refused", await connects(login), false);
  expectEqual("pods left", JSON.parse(await auditPipeline("get", "pods", "-o", "json")).items.length, 0);
}

async function readerUrl(): Promise<string> {
  const secret = JSON.parse(await auditPipeline("get", "secret", "payments-ledger-reader", "-o", "json"));
  return Buffer.from(secret.data.uri, "base64").toString();
}

async function connectReader(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: await readerUrl() });
  await client.connect();
  return client;
}

async function settled(reader: pg.Client, records: number): Promise<void> {
  const end = Date.now() + 90_000;
  for (;;) {
    const { rows } = await reader.query("SELECT coalesce(sum(next_offset), 0)::int AS done FROM audit.progress");
    if (rows[0].done === records) return;
    if (Date.now() > end) throw new Error(`${rows[0].done} of ${records} offsets are accounted for after 90 s`);
    await sleep(200);
  }
}

const countOf = async (reader: pg.Client, name: "audit.events" | "audit.conflicts") =>
  (await reader.query(`SELECT count(*)::int FROM ${name}`)).rows[0].count as number;

async function connects(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

/** `name:value,name:value<TAB>…`, as Kafka's console consumer prints headers. */
function headersOf(line: string): Record<string, string> {
  const pairs = (line.split("\t")[0] ?? "").split(/,(?=[a-z-]+:)/);
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf(":")), pair.slice(pair.indexOf(":") + 1)]));
}

async function showReceipt(): Promise<void> {
  const { readFile } = await import("node:fs/promises");
  const path = join(state, "receipts", `${NAMESPACE}.payments.json`);
  const receipt = parse(await readFile(path, "utf8")) as { items: Record<string, string>[] };
  show(`Receipt: ${path}`);
  table(receipt.items.map(({ kind, name, action, reason }) => ({ kind, name, action, reason })));
  const actionOf = (kind: string, name: string) =>
    receipt.items.find((item) => item["kind"] === kind && item["name"] === name)?.["action"];
  expectEqual("database", actionOf("PostgresDatabase", "team-a_payments"), "Retained");
  expectEqual("writer's login", actionOf("PostgresRole", "team-a_payments_writer"), "Deleted");
  expectEqual("sinks", actionOf("Deployment", "payments-ledger"), "Deleted");
  expectEqual("writer's Secret", actionOf("Secret", "payments-ledger-writer"), "Deleted");
}

function keepRunning(): void {
  const { host, port, user, password } = servers.postgres;
  const lines = [
    `KAFKA_BOOTSTRAP_SERVERS=${servers.bootstrapServers}`,
    `POSTGRES_ADMIN_URL=postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/postgres`,
    `TOPIC=${TOPIC}`,
    `DLQ_TOPIC=${DLQ}`,
    `AUDIT_PIPELINE_STATE=${state}`,
  ];
  const file = join(stateFolder, "env");
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  chapter("Everything is left running");
  show(`Connect with:        . .servers/env
Look at resources:   hack/audit-pipeline get auditpipeline -n ${NAMESPACE} --state "$AUDIT_PIPELINE_STATE"
Change a manifest:   ${manifests}
Stop and remove:     make servers-down`);
}
