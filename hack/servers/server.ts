import { spawn } from "node:child_process";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { identify, isRunning, killTree, type ProcessIdentity, signal, waitForEnd, waitUntilReaped } from "./process.ts";
import { type Lifetime, register, unregister } from "./registry.ts";

export interface ServerProcess {
  kind: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** Runs as this user instead of ours. */
  user?: { uid: number; gid: number };
  cwd: string;
  logFile: string;
  /** What the log says once the server takes connections. */
  readyLine: string;
  readyWithinMs: number;
  stopSignal: NodeJS.Signals;
  lifetime: Lifetime;
  /** It has processes of its own to end. */
  endsOthers?: boolean;
  disposable: string[];
}

export interface Running {
  readonly pid: number;
  /** Orderly end; SIGKILL after 20 seconds. Stopping what is not running succeeds. */
  stop(): Promise<void>;
  /** SIGKILL for the server and its children, as a machine that loses power. Nothing is flushed. */
  kill(): Promise<void>;
}

/** Starts a server in a session of its own (Ctrl-C does not reach it) and waits until it is ready. */
export async function launch(spec: ServerProcess): Promise<Running> {
  const { logFile, kind, stopSignal } = spec;
  const log = openSync(logFile, "a");
  const logStart = statSync(logFile).size;
  const child = spawn(spec.command, spec.args, {
    cwd: spec.cwd,
    env: spec.env ?? process.env,
    stdio: ["ignore", log, log],
    detached: true,
    ...spec.user,
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  failed.catch(() => undefined);
  child.unref();

  const target = child.pid === undefined ? undefined : identify(child.pid);
  if (target === undefined) {
    await Promise.race([failed, delay(100)]);
    throw new Error(`${kind} ended at once. Its log is ${logFile}: ${tail(logFile, logStart)}`);
  }
  register({
    ...{ kind, process: target, lifetime: spec.lifetime, stopSignal, disposable: spec.disposable },
    ...(spec.endsOthers === true && { endsOthers: true }),
  });
  child.once("exit", () => unregister(target));

  await ready(spec, target, logStart).catch((error) => {
    killTree(target);
    throw error;
  });
  return {
    pid: target.pid,
    async stop() {
      signal(target, stopSignal);
      if (!(await waitForEnd(target, 20_000))) killTree(target);
      await waitForEnd(target, 5_000);
      await waitUntilReaped(target);
      unregister(target);
    },
    async kill() {
      killTree(target);
      await waitForEnd(target, 5_000);
      await waitUntilReaped(target);
      unregister(target);
    },
  };
}

async function ready(spec: ServerProcess, target: ProcessIdentity, logStart: number): Promise<void> {
  const { kind, logFile, readyLine, readyWithinMs } = spec;
  const end = Date.now() + readyWithinMs;
  while (!read(logFile, logStart).includes(readyLine)) {
    if (!isRunning(target))
      throw new Error(`${kind} ended while starting. Its log is ${logFile}: ${tail(logFile, logStart)}`);
    if (Date.now() > end) throw new Error(`${kind} was not ready after ${readyWithinMs} ms. Its log is ${logFile}`);
    await delay(50);
  }
}

function read(file: string, from: number): string {
  const size = statSync(file).size - from;
  const buffer = Buffer.alloc(Math.max(size, 0));
  const descriptor = openSync(file, "r");
  readSync(descriptor, buffer, 0, buffer.length, from);
  closeSync(descriptor);
  return buffer.toString("utf8");
}

const tail = (file: string, from: number) => read(file, from).trimEnd().split("\n").slice(-5).join(" | ");
