/** One thing the operator would do. Printable: no step carries a secret. */
export interface Step {
  /** The resource it would be done for: `AuditPipeline team-a/payments`. */
  readonly resource: string;
  readonly system: "Kafka" | "PostgreSQL" | "Kubernetes";
  /** A verb as in the plans: CreateTopic, AttachMonth, Apply, ... */
  readonly action: string;
  readonly object: string;
  /** Takes away something that cannot be had back. */
  readonly destructive: boolean;
}

const DESTRUCTIVE = new Set([
  "DropDatabase",
  "DropSchema",
  "DropMonth",
  "DropLogin",
  "DropRole",
  "DeleteTopic",
  "DeleteGroup",
  "Delete",
]);

export type Record = (system: Step["system"], action: string, object: string) => void;

/** Collects steps; those of one resource can be thrown away and found again. */
export function recorder() {
  let steps: Step[] = [];
  return {
    steps: (): readonly Step[] => steps,
    forget(resource: string): void {
      steps = steps.filter((step) => step.resource !== resource);
    },
    for(resource: string): Record {
      return (system, action, object) => {
        const step = { resource, system, action, object, destructive: DESTRUCTIVE.has(action) };
        const isKnown = steps.some(
          (known) => known.resource === resource && known.action === action && known.object === object,
        );
        if (!isKnown) steps.push(step);
      };
    },
  };
}
