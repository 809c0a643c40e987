import { type ChildProcess, spawn } from "node:child_process";
import { copyFile, mkdir, open, stat, truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findByEnvironment, isRunning, type ProcessId, processStart, sessionOf, signalProcess } from "./processes.ts";

/** Which pod of which state folder a process belongs to: found again in /proc by whoever runs the folder next. */
export const podVariable = "AUDIT_PIPELINE_POD";

const maxLogBytes = 10 * 1024 * 1024;

export interface Spawned {
  id: ProcessId;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface SpawnOptions {
  command: readonly string[];
  env: Record<string, string>;
  /** The pod's folder: its log is kept here. */
  dir: string;
  /** Value of `podVariable`. */
  mark: string;
}

/**
 * Starts a process in a session of its own, writing to a file rather than a pipe: it neither gets the terminal's Ctrl-C
 * nor dies with the operator. Throws when it could not be started.
 */
export async function spawnPod({ command, env, dir, mark }: SpawnOptions): Promise<Spawned> {
  const [file = "", ...args] = command;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const log = await open(join(dir, "log"), "a", 0o600);
  try {
    const child = spawn(file, args, {
      ...{ cwd: dir, detached: true, stdio: ["ignore", log.fd, log.fd] },
      env: { ...inherited(), ...env, [podVariable]: mark },
    });
    const exited = exitOf(child);
    await started(child);
    child.unref();
    const pid = child.pid ?? 0;
    // Not reaped before its exit is told, so the pid is still its own.
    return { id: { pid, start: (await processStart(pid)) ?? "gone" }, exited };
  } finally {
    await log.close();
  }
}

/** SIGTERM, then SIGKILL to whatever of it is left when the grace period ends. Resolves when all are gone. */
export async function stopProcess(id: ProcessId, mark: string, graceMs: number): Promise<void> {
  await signalProcess(id, "SIGTERM");
  const deadline = performance.now() + graceMs;
  while ((await isRunning(id)) && performance.now() < deadline) await delay(50);
  await killMarked(mark);
}

/** Kills every process that carries the mark, and those they start meanwhile. */
export async function killMarked(mark: string, except: readonly ProcessId[] = []): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const found = (await findByEnvironment(podVariable)).filter(({ value }) => value === mark);
    const left = found.filter(({ pid, start }) => !except.some((kept) => kept.pid === pid && kept.start === start));
    if (left.length === 0) return;
    for (const process of left) await signalProcess(process, "SIGKILL");
    await delay(20);
  }
  throw new Error(`Processes marked ${mark} could not be ended`);
}

/** The processes that were started as pods of this state folder, and not by other pods: leaders of their sessions. */
export async function findPods(stateId: string): Promise<{ uid: string; id: ProcessId }[]> {
  const marked = (await findByEnvironment(podVariable)).filter(({ value }) => value.startsWith(`${stateId}/`));
  const leaders = await Promise.all(marked.map(async ({ pid }) => (await sessionOf(pid)) === pid));
  return marked
    .filter((_, index) => leaders[index])
    .map(({ pid, start, value }) => ({ uid: value.slice(stateId.length + 1), id: { pid, start } }));
}

/** Keeps the log and one older piece, each bounded. The process appends, so cutting its file is safe. */
export async function rotateLog(dir: string, maxBytes = maxLogBytes): Promise<void> {
  const log = join(dir, "log");
  const size = await stat(log).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= maxBytes) return;
  await copyFile(log, `${log}.1`);
  await truncate(log, 0);
}

/** A port nobody listens on; `wanted` if it is free. */
export async function freePort(wanted = 0): Promise<number> {
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      const server = createServer().once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
      });
    });
  return listen(wanted).catch((error: unknown) => {
    if (wanted === 0) throw error;
    return listen(0);
  });
}

/** What a process needs to find programs and a home; not the operator's own configuration. */
function inherited(): Record<string, string> {
  const names = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS"];
  const entries = names.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const exitOf = (child: ChildProcess): Spawned["exited"] =>
  new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));

const started = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
