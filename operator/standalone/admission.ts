import { validateResource } from "../../crds/validate.ts";
import { InvalidError, type KubeObject } from "../runtime/object-store.ts";

/** The admission of AuditTopic and AuditPipeline as an API server with the CRDs makes it; other kinds pass. */
export function admitResource(object: KubeObject, old: KubeObject | undefined): KubeObject {
  if (object.kind !== "AuditTopic" && object.kind !== "AuditPipeline") return object;
  const validation = validateResource(object, old);
  if (validation.ok) return { ...object, ...(validation.value as unknown as KubeObject) };
  const { causes } = validation;
  const label = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
  throw new InvalidError(`${label} is invalid: ${causes.map(({ message }) => message).join("; ")}`, causes);
}
