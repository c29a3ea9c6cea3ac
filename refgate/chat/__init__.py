"""Chat calls: from a caller's protocol over pools of backends to a settled row, streams included."""
