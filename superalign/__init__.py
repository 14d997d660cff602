"""The science of the loop: records, domains, engines, attackers, critics, oversight, curation, learners, validation, evaluation."""
