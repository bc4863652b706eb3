"""The data model: where pixels lie, what they mean, and what was done to them. Imports nothing but errors."""
