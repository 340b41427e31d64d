/** Cause of a shutdown that should end with a failure. */
export const ENROLMENT_FAILED = "enrolment failed";
