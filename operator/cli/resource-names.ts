import type { Kind } from "../standalone/kinds.ts";

interface Names {
  plural: string;
  short: readonly string[];
  group: string;
}

const names: Record<Kind, Names> = {
  AuditTopic: { plural: "audittopics", short: ["at"], group: "auditpipeline.io" },
  AuditPipeline: { plural: "auditpipelines", short: ["ap"], group: "auditpipeline.io" },
  Deployment: { plural: "deployments", short: ["deploy"], group: "apps" },
  Pod: { plural: "pods", short: ["po"], group: "" },
  Secret: { plural: "secrets", short: [], group: "" },
  ConfigMap: { plural: "configmaps", short: ["cm"], group: "" },
  ServiceAccount: { plural: "serviceaccounts", short: ["sa"], group: "" },
  Service: { plural: "services", short: ["svc"], group: "" },
  PodDisruptionBudget: { plural: "poddisruptionbudgets", short: ["pdb"], group: "policy" },
  NetworkPolicy: { plural: "networkpolicies", short: ["netpol"], group: "networking.k8s.io" },
  Event: { plural: "events", short: ["ev"], group: "" },
};

/** A word that names no kind. */
export class UnknownKindError extends Error {
  override readonly name = "UnknownKindError";
}

/** The kinds a word stands for, as kubectl takes it: kind, plural, short name, several with commas; `audit` is both of ours. */
export const kindsOf = (words: string): Kind[] => [...new Set(words.split(",").flatMap(kindsOfOne))];

function kindsOfOne(word: string): Kind[] {
  const lower = word.toLowerCase().split(".")[0] ?? "";
  if (lower === "audit") return ["AuditPipeline", "AuditTopic"];
  const entries = Object.entries(names) as [Kind, Names][];
  const found = entries.find(
    ([kind, { plural, short }]) => lower === kind.toLowerCase() || lower === plural || short.includes(lower),
  );
  if (found === undefined) {
    const known = entries.map(([, { plural, short }]) => [plural, ...short].join("/"));
    throw new UnknownKindError(`${JSON.stringify(word)} is no kind; known are ${known.join(", ")}`);
  }
  return [found[0]];
}

/** `auditpipeline.auditpipeline.io`, `pod`: how kubectl names one object's kind. */
export function qualifiedKind(kind: string): string {
  const group = names[kind as Kind]?.group ?? "";
  return group === "" ? kind.toLowerCase() : `${kind.toLowerCase()}.${group}`;
}
