import { setTimeout as delay } from "node:timers/promises";
import type { KubeObject } from "../runtime/object-store.ts";
import type { Client } from "./client.ts";
import { Failure } from "./failure.ts";
import type { Scope, Target } from "./get.ts";
import { qualifiedKind } from "./resource-names.ts";

export type Goal = { kind: "Condition"; type: string; status: string } | { kind: "Delete" };

const pollMs = 250;

/** `condition=Ready`, `condition=Ready=False`, `delete`. Throws Failure with exit code 2. */
export function goalOf(text: string): Goal {
  if (text === "delete") return { kind: "Delete" };
  const [, type, status = "True"] = /^condition=([A-Za-z]+)(?:=([A-Za-z]+))?$/.exec(text) ?? [];
  if (type === undefined) {
    throw new Failure(`--for=${text}: allowed are condition=TYPE, condition=TYPE=STATUS and delete`, 2);
  }
  return { kind: "Condition", type, status };
}

/** `60s`, `5m`, `250ms`; a bare number is seconds, as for kubectl. Throws Failure with exit code 2. */
export function timeoutMs(text: string): number {
  const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (amount === undefined) throw new Failure(`--timeout ${text}: allowed are durations such as 60s or 5m`, 2);
  return Number(amount) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit as "ms" | "s" | "m" | "h"];
}

/** What is not there yet is waited for as well: a standalone may still be reading its manifests. */
export async function waitFor(
  client: Client,
  { kinds, name }: Target,
  scope: Scope,
  wait: { goal: Goal; timeoutMs: number },
): Promise<string> {
  if (name === undefined) throw new Failure("Which one? Give KIND/NAME", 2);
  const [kind = ""] = kinds;
  const label = `${qualifiedKind(kind)}/${name}`;
  const deadline = performance.now() + wait.timeoutMs;
  for (;;) {
    const object = await client.get({ kind, namespace: scope.namespace, name });
    if (isMet(object, wait.goal)) return `${label} ${wait.goal.kind === "Delete" ? "deleted" : "condition met"}\n`;
    if (performance.now() >= deadline) throw new Failure(`timed out waiting on ${label}${lastSeen(object, wait.goal)}`);
    await delay(pollMs);
  }
}

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  observedGeneration?: number;
}

/** A condition counts when it is about the present generation. Pure. */
export function isMet(object: KubeObject | undefined, goal: Goal): boolean {
  if (goal.kind === "Delete") return object === undefined;
  const condition = conditionOf(object, goal.type);
  if (object === undefined || condition === undefined) return false;
  const seen = condition.observedGeneration ?? statusGeneration(object);
  return condition.status === goal.status && (seen ?? object.metadata.generation) >= object.metadata.generation;
}

const statusGeneration = (object: KubeObject) =>
  (object as { status?: { observedGeneration?: number } }).status?.observedGeneration;

const conditionOf = (object: KubeObject | undefined, type: string) =>
  (object as { status?: { conditions?: Condition[] } } | undefined)?.status?.conditions?.find(
    (condition) => condition.type === type,
  );

function lastSeen(object: KubeObject | undefined, goal: Goal): string {
  if (object === undefined) return ": not found";
  const condition = conditionOf(object, goal.kind === "Delete" ? "DeletionBlocked" : goal.type);
  if (condition === undefined) return "";
  return `: ${condition.type}=${condition.status} ${condition.reason}: ${condition.message}`;
}
