"""Tests of the policies: against what is really asked of AWS, and against AWS's own lists."""
