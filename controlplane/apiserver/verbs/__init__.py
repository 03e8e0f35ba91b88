"""The verbs, each written once for every kind: functions of an ApiServer and a Request, without HTTP."""
