import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startKafka } from "./kafka.ts";
import { startPostgres } from "./postgres.ts";
import { isRunning } from "./process.ts";
import { records, stateFolder } from "./registry.ts";

/** `make servers-up`. Running twice finds the servers running. */
const file = join(stateFolder, "env");
const running = records().filter(({ lifetime, process }) => lifetime === "detached" && isRunning(process));
if (running.length > 0) {
  console.error(
    `Already running: ${running.map(({ kind }) => kind).join(", ")}. See ${file}, or stop with: make servers-down`,
  );
} else {
  const [kafka, postgres] = await Promise.all([
    startKafka({ dir: join(stateFolder, "kafka"), lifetime: "detached" }),
    startPostgres({ major: 18, dir: join(stateFolder, "postgres"), lifetime: "detached" }),
  ]);
  const { host, port, admin } = postgres;
  mkdirSync(stateFolder, { recursive: true });
  const lines = [
    `KAFKA_BOOTSTRAP_SERVERS=${kafka.bootstrapServers}`,
    `POSTGRES_ADMIN_URL=postgresql://${admin.user}:${admin.password}@${host}:${port}/postgres`,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  console.log(lines.join("\n"));
  console.error(`Written to ${file}. Stop with: make servers-down`);
}
