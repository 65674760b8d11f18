"""From derivatives and clinical tables to the cohort that analyses work on."""
