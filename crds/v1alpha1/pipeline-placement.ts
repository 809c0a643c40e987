import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";
import { dnsLabel, dnsSubdomain, GROUP } from "./shared.ts";

/** Where a sink's pods run, and what is said on them: as in core/v1 PodSpec, each field in its own words. */

const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
const labelValue = z
  .string()
  .max(63)
  .regex(LABEL_VALUE, "letters, digits, -, _ and ., first and last a letter or digit")
  .describe("Value of one label.");
const labelKey = z
  .string()
  .min(1)
  .max(317)
  .regex(
    /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/,
    "a label key, as in topology.kubernetes.io/zone",
  );

type Map = Record<string, string>;

// A pattern of keys is beyond what the API server lets a rule cost; it refuses the Deployment for one that is no key.
const labelKeys: Rule<Map> = {
  kind: "Value",
  cel: "self.all(key, size(key) >= 1 && size(key) <= 317)",
  message: "keys must have 1 to 317 characters: use label keys, as in topology.kubernetes.io/zone",
  holds: (self) => Object.keys(self).every((key) => [...key].length >= 1 && [...key].length <= 317),
};

const notOurs: Rule<Map> = {
  kind: "Value",
  cel: `self.all(key, !key.startsWith('${GROUP}/') && !key.startsWith('app.kubernetes.io/'))`,
  message: `keys may not begin with ${GROUP}/ or app.kubernetes.io/: the operator sets those`,
  holds: (self) =>
    Object.keys(self).every((key) => !key.startsWith(`${GROUP}/`) && !key.startsWith("app.kubernetes.io/")),
};

const MOST = 32;
const mapOf = (value: z.ZodString) =>
  z
    .record(z.string(), value)
    .refine((map) => Object.keys(map).length <= MOST, `a map of at most ${MOST} keys`)
    .meta({ maxProperties: MOST });

const annotationValue = z
  .string()
  .refine((value) => [...value].length <= 4_096, "a string of at most 4096 characters")
  .meta({ maxLength: 4_096 })
  .describe("Value of one annotation.");

const toleration = z.strictObject({
  key: labelKey.optional().describe("Key of the taint. Default every key; a change restarts the pods."),
  operator: z
    .enum(["Exists", "Equal"])
    .default("Equal")
    .describe("How the value is compared. Default Equal; a change restarts the pods."),
  value: labelValue.optional().describe("Value of the taint, with Equal. Default empty; a change restarts the pods."),
  effect: z
    .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
    .optional()
    .describe("Effect of the taint. Default every effect; a change restarts the pods."),
  tolerationSeconds: z
    .int()
    .min(0)
    .max(31_536_000)
    .optional()
    .describe("How long a NoExecute taint is tolerated. Default for ever; a change restarts the pods. Example: 300."),
});

const tolerable: Rule<z.output<typeof toleration>> = {
  kind: "Value",
  cel: "(self.operator == 'Exists' && !has(self.value)) || (self.operator == 'Equal' && has(self.key))",
  message: "takes a key and perhaps a value with operator Equal, and no value with Exists: mend one of them",
  holds: ({ operator, key, value }) => (operator === "Exists" ? value === undefined : key !== undefined),
};

const onlyNoExecute: Rule<z.output<typeof toleration>> = {
  kind: "Value",
  cel: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
  message: "tolerationSeconds needs effect NoExecute: add it, or leave the seconds out",
  field: "tolerationSeconds",
  holds: ({ tolerationSeconds, effect }) => tolerationSeconds === undefined || effect === "NoExecute",
};

const spreadConstraint = z.strictObject({
  topologyKey: labelKey.describe(
    "Label of nodes whose values are the places to spread over. Required; a change restarts the pods. Example: topology.kubernetes.io/zone.",
  ),
  maxSkew: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe("How many pods one place may have more than another. Default 1; a change restarts the pods."),
  whenUnsatisfiable: z
    .enum(["DoNotSchedule", "ScheduleAnyway"])
    .default("ScheduleAnyway")
    .describe("What happens to a pod that would break it. Default ScheduleAnyway; a change restarts the pods."),
});

export const placement = {
  imagePullSecrets: z
    .array(
      z
        .strictObject({
          name: dnsSubdomain().describe(
            "Name of a Secret in the resource's namespace. Required; a change restarts the pods.",
          ),
        })
        .describe("One Secret."),
    )
    .max(8)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("Secrets with the image registry's login. Default none; a change restarts the pods."),
  nodeSelector: withRules(mapOf(labelValue), labelKeys)
    .optional()
    .describe("Labels that a node must have. Default none; a change restarts the pods."),
  tolerations: z
    .array(withRules(toleration, tolerable, onlyNoExecute).describe("One toleration."))
    .max(16)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe("Taints that the pods put up with. Default none; a change restarts the pods."),
  topologySpreadConstraints: z
    .array(spreadConstraint.describe("One constraint; it counts the pods of the same sink and revision."))
    .max(4)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .optional()
    .describe(
      "How the pods of one sink are spread. Default over nodes and zones where that can be had; a change restarts the pods.",
    ),
  priorityClassName: dnsLabel(63)
    .optional()
    .describe("PriorityClass of the pods. Default none; a change restarts the pods."),
  podLabels: withRules(mapOf(labelValue), labelKeys, notOurs)
    .optional()
    .describe("More labels of the pods. Default none; a change restarts the pods."),
  podAnnotations: withRules(mapOf(annotationValue), labelKeys, notOurs)
    .optional()
    .describe("More annotations of the pods. Default none; a change restarts the pods."),
};
