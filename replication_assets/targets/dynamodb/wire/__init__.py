"""The way to DynamoDB: signed requests over kept connections, paced and tried again."""
