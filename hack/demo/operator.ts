import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { type Lifetime, stateFolder } from "../servers/registry.ts";
import { launch, type Running } from "../servers/server.ts";
import type { DemoServers } from "./servers.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = join(stateFolder, "demo");

/** Where the demo's operator keeps its objects: `AUDIT_PIPELINE_STATE` of every command that speaks to it. */
export const state = join(folder, "state");
export const manifests = join(folder, "manifests");

/** The operator in standalone mode, on a folder that holds copies of config/samples. */
export async function startOperator({ bootstrapServers, postgres }: DemoServers, lifetime: Lifetime): Promise<Running> {
  for (const old of [state, manifests]) rmSync(old, { recursive: true, force: true });
  cpSync(join(root, "config/samples"), manifests, { recursive: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const secretFile = join(folder, "postgres-admin.yaml");
  writeFileSync(secretFile, stringify({ username: postgres.user, password: postgres.password }), { mode: 0o600 });
  const config = {
    clusterId: "demo",
    admin: { host: "127.0.0.1", port: 0 },
    backends: {
      kafka: [{ name: "default", bootstrapServers: bootstrapServers.split(",") }],
      postgres: [
        {
          name: "default",
          host: postgres.host,
          port: postgres.port,
          sslMode: postgres.sslMode,
          adminSecretFile: secretFile,
        },
      ],
    },
  };
  const configFile = join(folder, "operator.yaml");
  writeFileSync(configFile, stringify(config));

  return launch({
    kind: "operator",
    command: join(root, "hack/audit-pipeline"),
    args: ["standalone", "-f", manifests, "--state", state, "--config", configFile],
    cwd: root,
    logFile: join(folder, "operator.log"),
    readyLine: "Operator is running",
    readyWithinMs: 30_000,
    stopSignal: "SIGTERM",
    lifetime,
    endsOthers: true,
    disposable: [],
  });
}
