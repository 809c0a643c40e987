import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** A process id alone names whoever has it now; with the start time it names one process for good. */
export interface ProcessIdentity {
  pid: number;
  /** Opaque, only compared: clock ticks since boot on Linux, a date elsewhere. */
  startedAt: string;
}

/** Undefined when no such process runs (a zombie counts as not running). */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = process.platform === "linux" ? startOnLinux(pid) : startByPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export const isRunning = ({ pid, startedAt }: ProcessIdentity) => identify(pid)?.startedAt === startedAt;

/** Signals the process unless it is gone or its number now belongs to another. */
export function signal(target: ProcessIdentity, name: NodeJS.Signals): void {
  if (isRunning(target)) tolerateGone(() => process.kill(target.pid, name));
}

/** SIGKILL for a process and its children; the parent first, so that it cannot replace them. */
export function killTree(target: ProcessIdentity): void {
  const children = childrenOf(target.pid);
  signal(target, "SIGKILL");
  for (const child of children) signal(child, "SIGKILL");
}

/** @returns whether the process ended within `ms`. */
export async function waitForEnd(target: ProcessIdentity, ms: number): Promise<boolean> {
  const end = Date.now() + ms;
  while (isRunning(target)) {
    if (Date.now() > end) return false;
    await delay(25);
  }
  return true;
}

/**
 * Waits until nothing has the number any more. A process that ended and was not waited for by its parent still counts for
 * `kill(pid, 0)`, by which PostgreSQL judges whether its data folder is in use. Bounded: not every parent waits.
 */
export async function waitUntilReaped({ pid }: ProcessIdentity): Promise<void> {
  for (const end = Date.now() + 2_000; hasNumber(pid) && Date.now() < end; ) await delay(25);
}

function hasNumber(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Sinks that a killed operator left working on a state folder: their configuration lies in it. Linux only; elsewhere none. */
export function sinksOf(stateDir: string): ProcessIdentity[] {
  if (process.platform !== "linux") return [];
  return allPids()
    .filter((pid) => environmentOf(pid).includes(`CONFIG_PATH=${stateDir}/pods/`))
    .flatMap((pid) => identify(pid) ?? []);
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    return "";
  }
}

export function childrenOf(pid: number): ProcessIdentity[] {
  return allPids()
    .filter((other) => parentOf(other) === pid)
    .flatMap((other) => identify(other) ?? []);
}

function allPids(): number[] {
  if (process.platform === "linux") {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  }
  return execFileSync("ps", ["-axo", "pid="], { encoding: "utf8" }).split("\n").filter(Boolean).map(Number);
}

function parentOf(pid: number): number | undefined {
  if (process.platform === "linux") return Number(statOf(pid)?.[1]);
  return Number(ps(pid, "ppid="));
}

/** Fields 22 (start time) and 3 (state) of proc_pid_stat(5). */
function startOnLinux(pid: number): string | undefined {
  const stat = statOf(pid);
  return stat === undefined || stat[0] === "Z" ? undefined : stat[19];
}

/** The fields after the command name, which is in brackets and may itself hold brackets and spaces. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

const startByPs = (pid: number) => ps(pid, "lstart=");

function ps(pid: number, format: string): string | undefined {
  try {
    return execFileSync("ps", ["-o", format, "-p", String(pid)], { encoding: "utf8" }).trim() || undefined;
  } catch {
    return undefined;
  }
}

function tolerateGone(call: () => void): void {
  try {
    call();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
