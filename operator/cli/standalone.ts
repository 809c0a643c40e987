import { once } from "node:events";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { collectDefaultMetrics, Registry } from "@prometheus-io/client";
import type { Logger } from "pino";
import { ConfigError, loadOperatorConfig, type OperatorConfig } from "../config.ts";
import { serveHealth } from "../runtime/health-server.ts";
import { controllerMetrics } from "../runtime/metrics.ts";
import { admitResource } from "../standalone/admission.ts";
import { serveControl } from "../standalone/control-socket.ts";
import { followFolder } from "../standalone/manifest-folder.ts";
import { fileReceipts } from "../standalone/receipts.ts";
import { runEnds } from "../standalone/run-ends.ts";
import { type Standalone, startStandalone } from "../standalone/standalone.ts";
import { LockedError } from "../standalone/state-lock.ts";
import type { MakeControllers } from "./controllers.ts";
import { Failure } from "./failure.ts";
import { operatorLog, warnOfMissingBackends } from "./operator-log.ts";
import type { StandaloneFlags } from "./program.ts";

/** Runs until SIGTERM or SIGINT; a second signal ends it at once. */
export async function runStandalone(flags: StandaloneFlags, makeControllers: MakeControllers): Promise<void> {
  const [stateDir, manifests] = [resolve(flags.state), resolve(flags.filename)];
  if (!existsSync("/proc/self/stat")) throw new Failure("standalone finds its processes in /proc: it needs Linux", 2);
  const config = configOf(flags.config);
  if (!(await stat(manifests).catch(() => undefined))?.isDirectory()) {
    throw new Failure(`-f ${manifests}: found no folder; it must be one that holds manifests`, 2);
  }
  const log = operatorLog(config);
  const stop = await start({ config, stateDir, manifests, log, makeControllers });
  const signal = await Promise.race(["SIGTERM", "SIGINT"].map((name) => once(process, name).then(() => name)));
  process.once("SIGTERM", () => process.exit(1)).once("SIGINT", () => process.exit(1));
  log.info({ signal, leavePods: flags.leavePods }, "Stopping");
  await stop(flags.leavePods);
  log.info("Stopped");
}

interface StartOptions {
  config: OperatorConfig;
  stateDir: string;
  manifests: string;
  log: Logger;
  makeControllers: MakeControllers;
}

/** Answers the function that stops it all, in reverse order. When a part cannot be started, none goes on running. */
async function start(options: StartOptions): Promise<(leavePods: boolean) => Promise<void>> {
  const { config, stateDir, manifests, log, makeControllers } = options;
  const ends: ((leavePods: boolean) => Promise<void>)[] = [];
  const stop = (leavePods: boolean) => runEnds(ends.toReversed().map((end) => () => end(leavePods)));
  try {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    let controllers: Standalone["controllers"] = [];
    const health = await serveHealth({
      ...{ ...config.admin, registry },
      alive: () => controllers.every((controller) => controller.alive()),
      ready: () => controllers.length > 0 && controllers.every((controller) => controller.synced()),
    });
    ends.push(() => health.close());
    warnOfMissingBackends(config, log);
    const { reconcilers, close } = makeControllers(config, fileReceipts(stateDir));
    ends.push(close);
    const running = await startStandalone({
      ...{ stateDir, log, concurrency: config.concurrency, namespaces: config.watchNamespaces },
      admit: admitResource,
      reconcilers: () => reconcilers,
      commands: { "audit-sink": [process.execPath, sinkMain] },
      metrics: controllerMetrics(registry),
    });
    ends.push((leavePods) => running.stop({ leavePods }));
    controllers = running.controllers;
    const stopping = new AbortController();
    const folder = await followFolder({ dir: manifests, store: running.store, log, signal: stopping.signal });
    ends.push(() => {
      stopping.abort();
      return folder.stopped;
    });
    const control = await serveControl({ stateDir, store: running.store, declaredIn: folder.declaredIn });
    ends.push(() => control.close());
    const kinds = reconcilers.map(({ kind }) => kind);
    log.info({ kinds, manifests, state: stateDir, healthPort: health.port }, "Operator is running");
    return stop;
  } catch (error) {
    await stop(true).catch((failure: unknown) => log.error({ err: failure }, "Stopping failed"));
    throw asFailure(error, config);
  }
}

const sinkMain = fileURLToPath(new URL("../../sink/main.ts", import.meta.url));

/** What a failed start means for people. Which server could not listen is told by the address it tried. */
export function asFailure(error: unknown, { admin }: OperatorConfig): unknown {
  if (error instanceof LockedError) return new Failure(error.message);
  const {
    code,
    syscall,
    address,
    port: tried = -1,
  } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (syscall !== "listen") return error;
  if (tried < 0) {
    return new Failure(
      `--state: cannot listen on the control socket ${address} (${code}); its folder must be a local one that this user may write in`,
      2,
    );
  }
  const { host, port } = admin;
  return new Failure(
    `admin: cannot listen on ${host}:${port} (${code}); set admin.port to a free port, or 0 for any`,
    2,
  );
}

/** @throws Failure that lists every problem, with exit code 2 */
export function configOf(path: string | undefined): OperatorConfig {
  try {
    return loadOperatorConfig(path, process.env);
  } catch (error) {
    throw error instanceof ConfigError ? new Failure(error.message, 2) : error;
  }
}
