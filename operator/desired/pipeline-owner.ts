import { AUDIT_PIPELINE } from "../../crds/v1alpha1/audit-pipeline.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";

/** What a pipeline makes in its namespace goes with it (garbage collection), and its changes wake it. */
export const pipelineOwner = ({ name, uid }: { readonly name: string; readonly uid: string }) => ({
  apiVersion: API_VERSION,
  kind: AUDIT_PIPELINE.kind,
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
});
