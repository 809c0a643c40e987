import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { identify, isRunning } from "../servers/process.ts";
import { stateFolder } from "../servers/registry.ts";
import { prepareCluster } from "./prepare.ts";
import { envFile, keeper, keeperFile } from "./running.ts";

/** `make cluster-up`. Running twice finds it running. */
const log = join(stateFolder, "cluster.out");

if (keeper() === undefined) {
  await prepareCluster();
  await start();
} else {
  console.error("The cluster is running already. Stop it with: make cluster-down");
}
process.stdout.write(`${readFileSync(envFile, "utf8")}
Look at it:       hack/kubectl get pods -A
Reach its net:    hack/in-cluster COMMAND ...
Stop and remove:  make cluster-down
`);

async function start(): Promise<void> {
  mkdirSync(stateFolder, { recursive: true });
  writeFileSync(log, "");
  const output = openSync(log, "a");
  const keep = join(import.meta.dirname, "keep.ts");
  const child = spawn(process.execPath, [keep], { stdio: ["ignore", output, output], detached: true, cwd: "/" });
  closeSync(output);
  child.unref();
  const identity = child.pid === undefined ? undefined : identify(child.pid);
  if (identity === undefined) throw new Error(`The cluster did not start; see ${log}`);
  writeFileSync(keeperFile, JSON.stringify(identity));
  let told = 0;
  const tell = () => {
    const text = readFileSync(log, "utf8");
    process.stderr.write(text.slice(told));
    told = text.length;
  };
  while (!existsSync(envFile)) {
    tell();
    if (!isRunning(identity)) throw new Error(`The cluster ended while it started; see ${log}`);
    await delay(200);
  }
  tell();
}
