"""The DynamoDB target against both implementations, and against faults put in between."""
