import { z } from "zod";
import { API_VERSION, dnsLabel, dnsSubdomain } from "./shared.ts";

const QUALIFIED_NAME =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

const qualifiedName = z
  .string()
  .max(317)
  .regex(QUALIFIED_NAME, "a name of up to 63 letters, digits, -, _ and ., with a DNS prefix and / before it or not");

/**
 * apiVersion, kind and metadata of a resource, by the API server's own rules. In the CRD only `metadata: {type: object}`
 * remains of it, because the API server brings the rest itself.
 */
export const objectMeta = <Kind extends string>(kind: Kind) => ({
  apiVersion: z.literal(API_VERSION).describe(`Version of the API. Always ${API_VERSION}.`),
  kind: z.literal(kind).describe(`Kind of the resource. Always ${kind}.`),
  metadata: z.strictObject({
    name: dnsSubdomain(),
    namespace: dnsLabel(63).optional(),
    labels: z
      .record(
        qualifiedName,
        z.string().regex(LABEL_VALUE, "up to 63 letters, digits, -, _ and ., first and last a letter or digit"),
      )
      .optional(),
    annotations: z.record(qualifiedName, z.string()).optional(),
    finalizers: z.array(z.string()).optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    generation: z.int().optional(),
    creationTimestamp: z.string().nullable().optional(),
    deletionTimestamp: z.string().optional(),
    deletionGracePeriodSeconds: z.int().optional(),
    generateName: z.string().optional(),
    selfLink: z.string().optional(),
    managedFields: z.array(z.unknown()).optional(),
    ownerReferences: z
      .array(
        z.strictObject({
          apiVersion: z.string(),
          kind: z.string(),
          name: z.string(),
          uid: z.string(),
          controller: z.boolean().optional(),
          blockOwnerDeletion: z.boolean().optional(),
        }),
      )
      .optional(),
  }),
});
