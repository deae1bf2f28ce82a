"""What is remembered of the past: requests, histories of jobs, webhook calls received; bounded by bytes."""
