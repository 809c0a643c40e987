import { z } from "zod";
import { placement } from "./pipeline-placement.ts";

const intOrString = z
  .union(
    [
      z.int().min(0),
      z
        .string()
        .min(1)
        .max(32)
        .regex(/^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/, "a quantity, as in 500m, 2 or 256Mi"),
    ],
    "a quantity, as in 500m, 2 or 256Mi",
  )
  .meta({ "x-kubernetes-int-or-string": true });
const resourceList = (what: string) =>
  z
    .strictObject({
      cpu: intOrString.optional().describe(`CPU ${what}. Default none; a change restarts the pods. Example: 500m.`),
      memory: intOrString
        .optional()
        .describe(`Memory ${what}. Default none; a change restarts the pods. Example: 256Mi.`),
    })
    .optional()
    .describe(`Resources ${what}. Default none; a change restarts the pods.`);

export const workload = z.strictObject({
  image: z
    .string()
    .min(1)
    .max(512)
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$/, "an image, as in registry.example.org/audit/sink:v1")
    .optional()
    .describe("Container image of the sinks. Default the operator's own release; a change restarts the pods."),
  replicas: z
    .int()
    .min(0)
    .max(100)
    .default(1)
    .describe(
      "Pods of each sink; more than the topic's partitions stay idle. Default 1; 0 stops the sinks; applied live.",
    ),
  resources: z
    .strictObject({ requests: resourceList("requested"), limits: resourceList("at the most") })
    .optional()
    .describe("Resources of each sink's container. Default none; a change restarts the pods."),
  ...placement,
  logLevel: z
    .enum(["Debug", "Info", "Warn", "Error"])
    .default("Info")
    .describe("Least severe log lines that are written. Default Info; a change restarts the pods."),
});
